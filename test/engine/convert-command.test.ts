import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readManifest } from "../../weights/loader.ts";
import { folderSource } from "../../weights/node/folder.ts";
import { tinyCheckpoint } from "../support/checkpoints.ts";
import { checkpointFolder } from "../support/safetensors.ts";
import { byteTokenizer } from "../support/tokenizers.ts";

const work = mkdtempSync(join(tmpdir(), "mamba-edge-convert-"));
const checkpoint = checkpointFolder(tinyCheckpoint({ dim: 64, layers: 3 }), byteTokenizer());
const text = join(work, "text.txt");
writeFileSync(text, Array.from({ length: 400 }, (_, i) => `Duck ${i} went out to play.`).join(" "));
afterAll(() => {
  for (const folder of [work, checkpoint]) rmSync(folder, { recursive: true, force: true });
});

/** Another checkpoint, converted into a folder of its own. */
function convertOther(sizes: Parameters<typeof tinyCheckpoint>[0], tokenizer?: Uint8Array) {
  const folder = checkpointFolder(tinyCheckpoint(sizes), tokenizer);
  const out = join(folder, "package");
  const result = spawnSync(process.execPath, ["scripts/convert.ts", folder, "--out", out], { encoding: "utf8" });
  const made = existsSync(out);
  rmSync(folder, { recursive: true });
  return { ...result, made };
}

function convert(
  name: string,
  ...args: string[]
): { status: number | null; stdout: string; stderr: string; out: string } {
  const out = join(work, name);
  const command = ["scripts/convert.ts", checkpoint, "--out", out, ...args];
  return { ...spawnSync(process.execPath, command, { encoding: "utf8" }), out };
}

describe("convert --quant q4", () => {
  test("says for each part what was lost, and with a text what that costs", async () => {
    const { status, stdout, stderr, out } = convert(
      "q4",
      "--quant",
      "q4",
      "--calibrate",
      text,
      "--calibrate-tokens",
      "300",
    );
    expect([status, stderr]).toEqual([0, ""]);
    const rows = [...stdout.matchAll(/^(\w+) (q[48]) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$/gm)].map((m) =>
      m.slice(1),
    );
    expect(rows.map(([part, encoding]) => `${part} ${encoding}`)).toEqual([
      "embedding q4",
      "in_proj q4",
      "x_proj q8",
      "dt_proj q8",
      "out_proj q8",
      "out_proj q4",
    ]);
    for (const [, encoding, , , after, before] of rows) {
      expect(Number(after)).toBeGreaterThan(0);
      if (encoding === "q4") expect(Number(after)).toBeLessThan(Number(before));
      else expect(after).toBe(before);
    }
    expect(stdout).toMatch(
      /^\(error %: relative error of the products with the calibration text's activations; was %: .*\)$/m,
    );
    expect(stdout).toMatch(
      /perplexity of 256 tokens not calibrated on: f32 \d+\.\d{3}, .* \d+\.\d{3}, this package \d+\.\d{3}$/m,
    );
    expect((await readManifest(folderSource(out))).quantization).toBe("q4");
  });

  test("makes the same package every time, and another one of the same family with a text", async () => {
    const made = [
      convert("a", "--quant", "q4"),
      convert("b", "--quant", "q4"),
      convert("c", "--quant", "q4", "--calibrate", text),
    ];
    const [a, b, c] = await Promise.all(made.map(({ out }) => readManifest(folderSource(out))));
    expect(a!.id.split("@")[1]).toBe(b!.id.split("@")[1]);
    expect(a!.id.split("@")[1]).not.toBe(c!.id.split("@")[1]);
    expect(a!.family).toBe(c!.family);
  });

  test("names the package after its folder, or as --name says", async () => {
    const named = [convert("my-model"), convert("v1.bin", "--quant", "f32"), convert("a folder", "--name", "mine")];
    const ids = await Promise.all(named.map(async ({ out }) => (await readManifest(folderSource(out))).name));
    expect(ids).toEqual(["my-model", "v1.bin", "mine"]);
  });

  const bad: { title: string; args: string[]; message: RegExp; name?: string }[] = [
    {
      title: "a folder whose name is no model's",
      name: "my model",
      args: [],
      message: /--out is called "my model".*1 to 64 letters, digits.*give --name/,
    },
    {
      title: "a name that is no model's",
      args: ["--name", "a/b"],
      message: /--name is "a\/b": a model's name is 1 to 64/,
    },
    { title: "an unknown encoding", args: ["--quant", "q5"], message: /--quant must be one of f32, q8, q4, is "q5"/ },
    { title: "a text for q8", args: ["--calibrate", text], message: /--calibrate is for --quant q4; q8 needs no text/ },
    { title: "no such text", args: ["--quant", "q4", "--calibrate", "none"], message: /cannot read --calibrate/ },
    {
      title: "tokens of no text",
      args: ["--quant", "q4", "--calibrate-tokens", "9"],
      message: /--calibrate-tokens needs --calibrate TEXT_FILE/,
    },
  ];
  test.each(bad)("$title is refused", ({ args, message, name = "none" }) => {
    const before = readdirSync(work).length;
    const { status, stdout, stderr } = convert(name, ...args);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(message);
    expect(readdirSync(work)).toHaveLength(before);
  });
});

test("what it takes in a Worker is said last", () => {
  const { status, stdout, stderr } = convert("fits");
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(
    /\nmemory: [0-9.]+ MB with 8 sequences at a time: fits a Worker, whose models may take 104\.0 MB of its 128 MB\n$/,
  );
});

describe("a tokenizer", () => {
  test("that is missing is warned of, and the package made", () => {
    const { status, stderr, made } = convertOther({});
    expect([status, made]).toEqual([0, true]);
    expect(stderr).toMatch(/^warning: there is no tokenizer\.json .*token ids only.*will refuse it.*convert again\n$/);
  });

  test("of state-spaces' models that is missing is told where it is; of others not", () => {
    const told = /put the model's tokenizer\.json \(state-spaces' models have EleutherAI\/gpt-neox-20b's\) there and/;
    expect(convertOther({ vocab: 50280 }).stderr).toMatch(told);
    expect(convertOther({ vocab: 50288 }).stderr).toMatch(/put the model's tokenizer\.json there and/);
  });

  test("with fewer tokens than the embedding has rows, beyond padding, is warned of", () => {
    expect(convertOther({ vocab: 257 + 512 }, byteTokenizer()).stderr).toBe("");
    expect(convertOther({ vocab: 257 + 520 }, byteTokenizer()).stderr).toMatch(
      /^warning: tokenizer\.json has 257 tokens, the embedding 777 rows: 520 more are no mere padding; is it this model's/,
    );
  });

  const wrong: [title: string, tokenizer: Uint8Array, message: RegExp][] = [
    [
      "with more tokens than rows",
      byteTokenizer(),
      /^error: tokenizer\.json has 257 tokens, the embedding 256 rows: .*or none\n$/,
    ],
    ["that is no JSON", new TextEncoder().encode("{"), /^error: tokenizer\.json is not JSON: .*for token ids only\n$/],
    [
      "of a kind that is not read",
      new TextEncoder().encode('{"model":{"type":"Unigram"}}'),
      /^error: tokenizer\.json has a model of type "Unigram": .*for token ids only\n$/,
    ],
  ];
  test.each(wrong)("%s is refused before anything is written", (_, tokenizer, message) => {
    const { status, stdout, stderr, made } = convertOther({ vocab: 256 }, tokenizer);
    expect([status, stdout, made]).toEqual([1, "", false]);
    expect(stderr).toMatch(message);
  });
});

test("a checkpoint's card and licence go with its package, and take no other card's place", () => {
  const folder = checkpointFolder(tinyCheckpoint(), byteTokenizer());
  try {
    writeFileSync(join(folder, "README.md"), "---\nlicense: mit\n---\n");
    const out = join(folder, "package");
    const again = (path: string) =>
      spawnSync(process.execPath, ["scripts/convert.ts", path, "--out", out], { encoding: "utf8" }).stdout;
    expect(again(folder)).toMatch(/\nwith README\.md of the checkpoint\n/);
    expect(again(folder)).not.toMatch(/of the checkpoint|there before/);
    expect(readFileSync(join(out, "README.md"), "utf8")).toContain("license: mit");
    writeFileSync(join(out, "README.md"), "my own");
    writeFileSync(join(folder, "LICENSE"), "the text");
    expect(again(join(folder, "model.safetensors"))).toMatch(/\nwith LICENSE of the checkpoint\n/);
    expect(readFileSync(join(out, "README.md"), "utf8")).toBe("my own");
    expect(readFileSync(join(out, "LICENSE"), "utf8")).toBe("the text");
    const third = again(folder);
    expect(third).not.toContain("of the checkpoint");
    // Who converts another checkpoint into the folder of an older package is told whose licence would go out.
    expect(third).toMatch(/\nREADME\.md was there before and stayed: look whether it is this model's\n/);
    rmSync(join(folder, "LICENSE"));
    expect(again(folder)).toMatch(/\nREADME\.md and LICENSE were there before and stayed: look whether they are this/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
