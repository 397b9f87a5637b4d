import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { inContextCheckpoint } from "../support/in-context.ts";
import { checkpointFolder } from "../support/safetensors.ts";

function predict(args: readonly string[], stdin: string): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["scripts/predict.ts", ...args]);
    let [out, err] = ["", ""];
    child.stdout.on("data", (d: Buffer) => {
      out += d;
    });
    child.stderr.on("data", (d: Buffer) => {
      err += d;
    });
    child.on("close", (code) => resolve({ code, out, err }));
    child.stdin.end(stdin);
  });
}

const folder = checkpointFolder(inContextCheckpoint("standard-hybrid", { inputs: 3, outputs: 3, points: 7 }));
afterAll(() => rmSync(folder, { recursive: true }));
const xs = [
  [1, 2, 3],
  [0, -1, 0],
  [2, 0, 1],
];

test.each([
  "wasm",
  "webgpu",
])("in-context-learning on %s: the shape of golden.json, within 1e-4 of it, and nothing else on stdout", async (backend) => {
  const golden = readFileSync("test/golden/icl-mambaformer/golden.json", "utf8");
  const { code, out } = await predict(["test/golden/icl-mambaformer", "--backend", backend], golden);
  expect(code).toBe(0);
  const [seen, wanted] = [JSON.parse(out), JSON.parse(golden)];
  expect(seen).toMatchObject({ kind: "in-context-learning", source: `mamba-edge, ${backend}` });
  for (const [i, { xs, ys, predictions }] of wanted.cases.entries()) {
    expect(seen.cases[i]).toMatchObject({ xs, ys });
    const largest = Math.max(...predictions.map(Math.abs));
    for (const [j, y] of predictions.entries())
      expect(Math.abs(seen.cases[i].predictions[j] - y) / largest).toBeLessThan(1e-4);
  }
});

test("vector labels give vector predictions: the outputs at the places of the xs", async () => {
  const ys = [[1, 0, 1], [2, 2, 2], [0]];
  const vectors = [xs[0], ys[0], xs[1], ys[1], xs[2]];
  const [a, b] = await Promise.all([
    predict([folder], JSON.stringify({ kind: "in-context-learning", cases: [{ xs, ys }] })),
    predict([folder], JSON.stringify({ kind: "vectors", cases: [{ vectors }] })),
  ]);
  const { outputs } = JSON.parse(b.out).cases[0];
  expect(outputs).toHaveLength(5);
  expect(JSON.parse(a.out).cases[0].predictions).toEqual([outputs[0], outputs[2], outputs[4]]);
});

test("a model without interleaving takes vectors and refuses examples in words that say so", async () => {
  const { config, values, tensors } = inContextCheckpoint("gpt2", { inputs: 3, outputs: 3, points: 7 });
  const vectorsOnly = checkpointFolder({ config: { ...config, interleave: false }, values, tensors });
  const plain = checkpointFolder({ config, values, tensors });
  try {
    const fed = JSON.stringify({ kind: "vectors", cases: [{ vectors: xs }] });
    const [seen, wanted] = [await predict([vectorsOnly], fed), await predict([plain], fed)];
    expect([seen.code, seen.out]).toEqual([0, wanted.out]);
    const refused = await predict(
      [vectorsOnly],
      JSON.stringify({ kind: "in-context-learning", cases: [{ xs, ys: xs }] }),
    );
    expect([refused.code, refused.out]).toEqual([1, ""]);
    expect(refused.err).toMatch(/was trained without interleaving \(interleave: false\).* kind "vectors"/);
  } finally {
    for (const path of [vectorsOnly, plain]) rmSync(path, { recursive: true });
  }
});

test.each([
  [
    { kind: "causal-lm", prompts: [{ tokens: [1] }] },
    /stdin is of kind causal-lm, .* is for in-context-learning or vectors/,
  ],
  [{ kind: "in-context-learning", cases: [{ xs, ys: [1] }] }, /cases\[0\] has 3 xs and 1 ys/],
  [{ kind: "in-context-learning", cases: [{ xs: [[1, 2]], ys: [1] }] }, /query\[0\] has 2 numbers: .* takes 3/],
  [
    { kind: "vectors", cases: [{ vectors: [[1, 2, 3], [1]] }] },
    /cases\[0\].vectors\[1\] has 1 numbers, the model takes 3/,
  ],
  [
    { kind: "in-context-learning", cases: [{ xs: Array(9).fill([1, 2, 3]), ys: Array(9).fill(1) }] },
    /looks back at up to 7 positions/,
  ],
])("%j is an error that says what to do", async (input, message) => {
  const { code, out, err } = await predict([folder], JSON.stringify(input));
  expect([code, out]).toEqual([1, ""]);
  expect(err).toMatch(message);
});
