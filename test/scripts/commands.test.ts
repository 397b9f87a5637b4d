import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { tinyCheckpoint } from "../support/checkpoints.ts";
import { checkpointFolder } from "../support/safetensors.ts";
import { byteTokenizer } from "../support/tokenizers.ts";

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(script: string, args: readonly string[], stdin = ""): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [`scripts/${script}.ts`, ...args]);
    const out = { stdout: "", stderr: "" };
    child.stdout.on("data", (d: Buffer) => {
      out.stdout += d;
    });
    child.stderr.on("data", (d: Buffer) => {
      out.stderr += d;
    });
    child.on("close", (code) => resolve({ code, ...out }));
    child.stdin.end(stdin);
  });
}

const work = mkdtempSync(join(tmpdir(), "mamba-edge-commands-"));
const folders: string[] = [work];
const checkpoint = (sizes = {}): string => {
  const folder = checkpointFolder(tinyCheckpoint(sizes), byteTokenizer());
  folders.push(folder);
  return folder;
};
const prompts = JSON.stringify({ kind: "causal-lm", prompts: [{ tokens: [5], mean_nll: 1 }, { tokens: [5, 6, 7] }] });

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

describe("convert", () => {
  test("writes a package that predict reads, for a folder and for a file", async () => {
    const source = checkpoint();
    for (const [i, path] of [source, join(source, "model.safetensors")].entries()) {
      const out = join(work, `package-${i}`);
      const { code, stdout } = await run("convert", [path, "--out", out, "--quant", "f32", "--name", "tiny"]);
      expect(code).toBe(0);
      expect(stdout).toMatch(/^tiny@[0-9a-f]{12}\n/);
      expect(readdirSync(out).sort()).toEqual(["manifest.msgpack", "shard-000.bin", "tokenizer.json"]);
    }
    const [fromPackage, fromCheckpoint] = await Promise.all([
      run("predict", [join(work, "package-0")], prompts),
      run("predict", [source], prompts),
    ]);
    expect(fromPackage.stdout).toBe(fromCheckpoint.stdout);
  });

  test("refuses what it cannot convert and leaves nothing behind", async () => {
    const broken = checkpoint();
    writeFileSync(join(broken, "model.safetensors"), readFileSync(join(broken, "model.safetensors")).subarray(0, -8));
    const before = readdirSync(work).length;
    const { code, stdout, stderr } = await run("convert", [broken, "--out", join(work, "none")]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^error: .*model\.safetensors/);
    expect(readdirSync(work)).toHaveLength(before);
  });
});

describe("predict", () => {
  test("gives golden.json's shape with computed values on every backend", async () => {
    const source = checkpoint({ vocab: 517, conv: 3, state: 8, expand: 3, bias: true, tied: false });
    const results = await Promise.all(
      ["reference", "wasm"].map(async (backend) => {
        const { code, stdout, stderr } = await run("predict", [source, "--backend", backend], prompts);
        expect([code, stderr]).toEqual([0, ""]);
        return JSON.parse(stdout) as { kind: string; prompts: Record<string, number[] | number | null>[] };
      }),
    );
    for (const { kind, prompts: answers } of results) {
      expect(kind).toBe("causal-lm");
      expect(answers.map((a) => (a.last_logits as number[]).length)).toEqual([517, 517]);
      expect(answers.map((a) => (a.greedy as number[]).length)).toEqual([12, 12]);
      expect(answers[0]!.mean_nll).toBeNull();
    }
    expect(results[1]!.prompts.map((p) => p.greedy)).toEqual(results[0]!.prompts.map((p) => p.greedy));
  });

  const bad: [string, string, readonly string[], RegExp][] = [
    ["no JSON", "{", [], /stdin is not JSON/],
    ["another shape", '{"prompts":[{"tokens":"a"}]}', [], /not of golden\.json's shape[\s\S]*tokens/],
    ["an empty prompt", '{"prompts":[{"tokens":[]}]}', [], /not of golden\.json's shape/],
    [
      "a token out of range",
      '{"prompts":[{"tokens":[260]}]}',
      [],
      /prompt 0 holds token 260, the vocabulary ends at 259/,
    ],
    [
      "an unknown backend",
      prompts,
      ["--backend", "cuda"],
      /--backend must be one of reference, wasm, webgpu, is "cuda"/,
    ],
  ];
  test.each(bad)("%s ends with a message", async (_, stdin, args, message) => {
    const { code, stdout, stderr } = await run("predict", [checkpoint(), ...args], stdin);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  test("a package with a changed bit is refused by the name of the shard", async () => {
    const folder = join(work, "flipped");
    expect((await run("convert", [checkpoint(), "--out", folder])).code).toBe(0);
    const shard = join(folder, "shard-000.bin");
    const bytes = readFileSync(shard);
    bytes[1000]! ^= 4;
    writeFileSync(shard, bytes);
    const altered = await run("predict", [folder], prompts);
    expect([altered.code, altered.stdout]).toEqual([1, ""]);
    expect(altered.stderr).toMatch(/shard-000\.bin/);
    rmSync(shard);
    expect((await run("predict", [folder], prompts)).stderr).toMatch(/shard-000\.bin/);
  });

  test("a path that is nothing of ours says what is read", async () => {
    const { code, stderr } = await run("predict", [join(work, "nowhere")], prompts);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: .*nowhere/);
  });
});

describe("eval", () => {
  const text = join(work, "text.txt");
  writeFileSync(text, "One little duck went out to play.<|endoftext|>\n Two little ducks! <|endoftext|><|endoftext|>");

  test("whole documents, windows and limits score every token once", async () => {
    const source = checkpoint();
    const score = async (...args: string[]): Promise<Record<string, number>> => {
      const { code, stdout } = await run("eval", [source, "--text", text, "--json", ...args]);
      expect(code).toBe(0);
      return JSON.parse(stdout) as Record<string, number>;
    };
    const whole = await score();
    expect(whole).toMatchObject({ documents: 2, tokens: 33 + 17, bytes: 33 + 17 });
    expect(whole.bits_per_byte).toBeCloseTo(Math.log2(whole.perplexity!), 6);
    const windowed = await score("--window", "8");
    expect(windowed.tokens).toBe(50);
    expect(windowed.nats).not.toBeCloseTo(whole.nats!, 2);
    expect((await score("--window", "100")).nats).toBe(whole.nats);
    expect((await score("--limit", "7")).tokens).toBe(7);
    for (const backend of ["reference", "webgpu"])
      expect((await score("--backend", backend)).nats).toBeCloseTo(whole.nats!, 2);
  });

  test.each([
    ["weights/models/imagenette-vmamba-6m", /^error: imagenette-vmamba-6m@\w+ has no tokenizer.*npm run eval:images/],
    ["weights/models/icl-sparse-parity-mamba", /^error: icl-.* has no tokenizer.*: use npm run eval:icl/],
    ["test/golden/mamba-tiny", /^error: .* has no tokenizer.*: put tokenizer.json beside the checkpoint/],
  ])("of %s it says what to use instead", async (path, message) => {
    const { code, stdout, stderr } = await run("eval", [path, "--text", text]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(message);
  });

  test("without a text it says so", async () => {
    expect((await run("eval", [checkpoint()])).stderr).toMatch(/--text is missing/);
    expect((await run("eval", [checkpoint(), "--text", join(work, "none.txt")])).stderr).toMatch(/cannot read --text/);
  });
});

test("a command without its argument says how many it takes", async () => {
  expect((await run("convert", [])).stderr).toBe("error: expected 1 argument, got 0\nsee --help\n");
});

test.each([
  [
    "convert",
    ["x", "--outs", "y"],
    "--outs, perhaps --out is meant: there are --out, --quant, --name, --calibrate, --calibrate-tokens, --help",
  ],
  ["deploy", ["--dryrun"], "--dryrun, perhaps --dry-run is meant: there are --dry-run, --models, --config, --help"],
  ["predict", ["x", "--fast=1"], "--fast: there are --backend, --quant, --help"],
  ["eval", ["-x"], "-x: there are --text, --backend, --quant, --window, --limit, --json, --help"],
])("%s %j: an option that is not there is told those that are", async (script, args, told) => {
  const { code, stdout, stderr } = await run(script, args);
  expect([code, stdout, stderr]).toEqual([1, "", `error: there is no option ${told}\nsee --help\n`]);
});

test.each([
  "convert",
  "predict",
  "eval",
  "eval-icl",
  "pack-icl",
  "demo",
  "bench",
  "build-assets",
  "deploy",
])("%s --help prints help", async (script) => {
  const { code, stdout } = await run(script, ["--help"]);
  expect(code).toBe(0);
  expect(stdout.length).toBeGreaterThan(80);
});

test("npm run COMMAND -- --help builds nothing, and without it the command is run on what is built", async () => {
  const index = "dist/assets/weights/index.json";
  const before = statSync(index).mtimeMs;
  for (const what of ["kernels", "all", "bench"]) {
    const { code, stdout, stderr } = await run("with-build", [what, "scripts/demo.ts", "--help"]);
    expect([code, stdout.slice(0, 12), stderr]).toEqual([0, "npm run demo", ""]);
  }
  expect(statSync(index).mtimeMs).toBe(before);
  const failed = await run("with-build", ["kernels", "scripts/predict.ts", join(work, "nowhere")], prompts);
  expect([failed.code, failed.stdout]).toEqual([1, ""]);
  expect(failed.stderr).toMatch(/^error: .*nowhere/m);
  expect(await run("with-build", ["nothing", "scripts/predict.ts"])).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^usage: .*kernels\|all\|bench/),
  });
});

test("golden vectors through predict, as a user would check them", async () => {
  const folder = join(work, "golden");
  cpSync("test/golden/mamba-tiny", folder, { recursive: true });
  const stdin = readFileSync(join(folder, "golden.json"), "utf8");
  const want = JSON.parse(stdin) as { prompts: { greedy: number[] }[] };
  const { stdout } = await run("predict", [folder], stdin);
  const got = JSON.parse(stdout) as typeof want;
  expect(got.prompts.map((p) => p.greedy)).toEqual(want.prompts.map((p) => p.greedy));
});
