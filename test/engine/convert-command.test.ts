import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
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
      /perplexity of 256 tokens not calibrated on: f32 \d+\.\d{3}, .* \d+\.\d{3}, this package \d+\.\d{3}\n$/,
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
    const named = [convert("my-model"), convert("other folder", "--quant", "f32"), convert("d", "--name", "mine")];
    const ids = await Promise.all(named.map(async ({ out }) => (await readManifest(folderSource(out))).name));
    expect(ids).toEqual(["my-model", "other-folder", "mine"]);
  });

  const bad: { title: string; args: string[]; message: RegExp }[] = [
    { title: "an unknown encoding", args: ["--quant", "q5"], message: /--quant must be one of f32, q8, q4, is "q5"/ },
    { title: "a text for q8", args: ["--calibrate", text], message: /--calibrate is for --quant q4; q8 needs no text/ },
    { title: "no such text", args: ["--quant", "q4", "--calibrate", "none"], message: /cannot read --calibrate/ },
    {
      title: "tokens of no text",
      args: ["--quant", "q4", "--calibrate-tokens", "9"],
      message: /--calibrate-tokens needs --calibrate TEXT_FILE/,
    },
  ];
  test.each(bad)("$title is refused", ({ args, message }) => {
    const before = readdirSync(work).length;
    const { status, stdout, stderr } = convert("none", ...args);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(message);
    expect(readdirSync(work)).toHaveLength(before);
  });
});
