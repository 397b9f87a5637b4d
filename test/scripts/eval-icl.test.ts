import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { encodeManifest } from "../../weights/codec.ts";
import { readManifest } from "../../weights/loader.ts";
import { folderSource } from "../../weights/node/folder.ts";

/** A MambaFormer of 9,856 parameters that icl.py trained on linear regression and exported. */
const CELL = "test/golden/icl-cell";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "icl-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function run(script: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [`scripts/${script}.ts`, ...args], (_, out, err) =>
      resolve({ code: child.exitCode!, out, err }),
    );
  });
}

/** A copy of the cell whose evaluation says something else. */
function cell(name: string, change: Record<string, unknown>): string {
  const path = join(folder, "cells", name);
  cpSync(CELL, path, { recursive: true });
  const file = join(path, "evaluation.json");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...change }));
  return path;
}

const { scores, final } = JSON.parse(readFileSync(join(CELL, "evaluation.json"), "utf8")) as {
  scores: number[];
  final: number;
};

test("a checkpoint in WASM scores what it does in PyTorch, prompt for prompt", async () => {
  const { code, out } = await run("eval-icl", CELL, "--json");
  expect(code).toBe(0);
  const [model] = JSON.parse(out).models;
  expect(model).toMatchObject({ task: "linear", quantization: "f32", prompts: 64, agrees: true });
  expect(model.score).toBeCloseTo(final, 5);
  const three = JSON.parse((await run("eval-icl", CELL, "--json", "--prompts", "3")).out).models[0];
  expect(three.score).toBeCloseTo((scores[0]! + scores[1]! + scores[2]!) / 3, 5);
});

test("another score than PyTorch's is a failure that names both", async () => {
  const path = cell("off", { scores: scores.map((score) => score + 0.002) });
  const { code, out, err } = await run("eval-icl", path);
  expect(code).toBe(1);
  expect(out).toMatch(/\| linear \| 64 \| 1\.01078 \| 1\.01278 \| -2\.0e-3 \|/);
  expect(err).toMatch(/off@\w+ scores 1\.01078, PyTorch 1\.01278/);
});

test.each([
  ["of another task", { task: "sparse-parity" }, /takes 20 numbers and says 1, task sparse-parity has 10 and 1/],
  ["of an unknown task", { task: "sums" }, /unknown task sums, known are linear, /],
  ["without scores", { scores: [] }, /is not what icl.py writes: .*scores/s],
])("an evaluation %s is an error", async (name, change, message) => {
  const { code, out, err } = await run("eval-icl", cell(name.replaceAll(" ", "-"), change));
  expect([code, out]).toEqual([1, ""]);
  expect(err).toMatch(message);
});

test("a folder without an evaluation says what is wanted", async () => {
  const { code, out, err } = await run("eval-icl", "weights/models/fable-31m");
  expect([code, out]).toEqual([1, ""]);
  expect(err).toMatch(
    /^error: weights\/models\/fable-31m has no evaluation\.json: give a cell that .* exported, or a package/,
  );
});

test("the best of several attempts is packaged, with its card, and scores as in PyTorch", async () => {
  cell("linear.mambaformer.0", {});
  cell("linear.mambaformer.1", { final: 0.5, seed: 1 });
  const out = join(folder, "models");
  const packed = await run("pack-icl", join(folder, "cells"), "--out", out);
  expect(packed).toMatchObject({ code: 0, out: expect.stringMatching(/linear\.mambaformer\.1\n/) });
  expect(packed.out).toMatch(/not there: linear\.mamba, /);
  expect(readdirSync(out)).toEqual(["icl-linear-mambaformer"]);
  const made = join(out, "icl-linear-mambaformer");
  expect(readFileSync(join(made, "README.md"), "utf8")).toMatch(/300 steps of 16 prompts.* seed 1/s);
  const { code, out: json } = await run("eval-icl", made, "--json");
  expect(code).toBe(0);
  expect(JSON.parse(json).models[0]).toMatchObject({ quantization: "q8", agrees: true });
});

test("a package says with how many examples it was trained; --cards writes that and the card into one that lacks them", async () => {
  const out = join(folder, "models");
  expect((await run("pack-icl", cell("a", {}), "--out", out)).code).toBe(0);
  const made = join(out, "icl-linear-mambaformer");
  const manifest = await readManifest(folderSource(made));
  expect(manifest.trainedExamples).toBe(40);
  const { trainedExamples, ...older } = manifest;
  writeFileSync(join(made, "manifest.msgpack"), await encodeManifest(older));
  const written = readFileSync(join(made, "README.md"), "utf8");
  writeFileSync(join(made, "README.md"), "old");
  expect(await run("pack-icl", "--cards", made)).toMatchObject({ code: 0, out: `${manifest.id}\n` });
  expect(await readManifest(folderSource(made))).toEqual(manifest);
  expect(readFileSync(join(made, "README.md"), "utf8")).toBe(written);
});

test("what does not fit is left out and said, with what lies there already", async () => {
  const out = join(folder, "models");
  expect((await run("pack-icl", cell("a", {}), "--out", out)).code).toBe(0);
  const other = cell("b", { architecture: "mamba" });
  const { code, out: text } = await run("pack-icl", other, "--out", out, "--mib", "0.03");
  expect(code).toBe(0);
  expect(text).toMatch(/icl-linear-mamba: 0\.02 MiB do not fit beside 0\.02 of 0\.03 MiB, left out/);
  expect(existsSync(join(out, "icl-linear-mamba"))).toBe(false);
});

test.each([
  [["nowhere"], /nowhere does not exist/],
  [["test/support"], /test\/support holds no cell/],
  [[CELL, "--keep", "retrieval.mamba"], /no cell retrieval\.mamba in .*: there are linear\.mambaformer/],
  [[CELL, "--mib", "none"], /--mib must be a number above 0/],
  [[CELL, "--cards"], /icl-cell is no package: it has no manifest\.msgpack; leave --cards out/],
  [[CELL, "--quant", "q2"], /--quant must be one of f32, q8, q4/],
])("pack-icl %j is an error that says what to do", async (args, message) => {
  const { code, err } = await run("pack-icl", ...args, "--out", join(folder, "models"));
  expect(code).toBe(1);
  expect(err).toMatch(message);
});
