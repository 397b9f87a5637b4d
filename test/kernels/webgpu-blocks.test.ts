import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Backend, Encoding, Executable, SequenceState } from "../../kernels/backend.ts";
import type { Block } from "../../kernels/blocks.ts";
import { productTile } from "../../kernels/webgpu/wgsl/product.ts";
import { anyEncoding } from "../../scripts/bench/webgpu/block-checks.ts";
import { mixture, modelOf } from "../../scripts/bench/webgpu/block-models.ts";
import { openPageBackend, type PageBackend } from "../../scripts/lib/webgpu-page/index.ts";
import { type Example, observe, predict } from "../../worker/engine/in-context.ts";
import type { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { restoreSnapshot, takeSnapshot } from "../../worker/engine/snapshot.ts";
import { reference, wasm } from "../support/backends.ts";
import { FAMILIES, goldenInContextModel, inContextModel, ODD } from "../support/in-context.ts";
import { compileModel, distance, randomF32, randomTokens } from "./wasm-fixtures.ts";

/** Models that run block by block, in one page of headless Chromium, whose GPU is the CPU. */
const SLOW = 300_000;
/** f32 arithmetic in another order. */
const EXACT = 2e-5;

let webgpu: PageBackend;

beforeAll(async () => {
  webgpu = await openPageBackend();
}, SLOW);

afterAll(() => webgpu?.close());

interface Golden {
  readonly cases: { xs: number[][]; ys: number[]; predictions: number[] }[];
}

describe.each(FAMILIES)("%s", (family) => {
  test("within 2e-4 of the golden predictions", { timeout: SLOW }, async () => {
    const { cases } = JSON.parse(readFileSync(`test/golden/icl-${family}/golden.json`, "utf8")) as Golden;
    const model = await goldenInContextModel(webgpu, family);
    expect(cases.length).toBeGreaterThan(0);
    for (const { xs, ys, predictions } of cases) {
      const sequence = new Sequence(model);
      const examples = xs.slice(0, -1).map((x, i): Example => ({ x, y: ys[i]! }));
      const outputs = [...(await observe(sequence, examples)), ...(await predict(sequence, xs.slice(-1)))];
      expect(
        distance(
          Float32Array.from(outputs, ([y]) => y!),
          Float32Array.from(predictions),
        ),
      ).toBeLessThan(2e-4);
      sequence.dispose();
    }
    model.dispose();
  });

  test("odd sizes, whole, in pieces and step by step as the reference; states and snapshots go to wasm and back", {
    timeout: SLOW,
  }, async () => {
    const encoding: Encoding = family === "mambaformer" ? "q8" : family === "standard-hybrid" ? "q4" : "f32";
    const open = (backend: Backend): Promise<Model> =>
      inContextModel(backend, family, { ...ODD, points: 70 }, encoding);
    const [ours, theirs, onWasm] = [await open(webgpu), await open(reference), await open(wasm)];
    const { inputs } = ours;
    const vectors = randomF32(70 * inputs, 8);
    const whole = new Sequence(theirs);
    const expected = await whole.feedVectors(vectors);
    const state = await whole.state.read();
    for (const lengths of [[70], [1, 2, 3, 1, 40, 23], Array<number>(70).fill(1)]) {
      const sequence = new Sequence(ours);
      let at = 0;
      const seen: number[] = [];
      for (const length of lengths) {
        seen.push(...(await sequence.feedVectors(vectors.subarray(at * inputs, (at + length) * inputs))));
        at += length;
      }
      expect(distance(Float32Array.from(seen), expected)).toBeLessThan(EXACT);
      expect(distance(await sequence.state.read(), state)).toBeLessThan(EXACT);
      sequence.dispose();
    }
    // 30 vectors on wasm, 20 here, and the rest on the reference.
    const first = new Sequence(onWasm);
    await first.feedVectors(vectors.subarray(0, 30 * inputs));
    const second = restoreSnapshot(ours, await takeSnapshot(first));
    await second.feedVectors(vectors.subarray(30 * inputs, 50 * inputs));
    const third = restoreSnapshot(theirs, await takeSnapshot(second));
    const rest = await third.feedVectors(vectors.subarray(50 * inputs));
    // wasm rounds activations of quantized models to int8.
    const limit = encoding === "f32" ? EXACT : 5e-2;
    expect(distance(rest, expected.subarray(50 * ours.outputs))).toBeLessThan(limit);
    for (const model of [ours, theirs, onWasm]) model.dispose();
  });
});

describe("a mixture of all blocks", () => {
  const model = modelOf(mixture(), anyEncoding);
  const tokens = randomTokens(88, 131);
  const targets = [...tokens.slice(1), 5];
  let ours: Executable;
  let theirs: Executable;

  beforeAll(async () => {
    ours = await compileModel(webgpu, model, { maxTokens: 100, maxSequences: 3 });
    theirs = await compileModel(reference, model, { maxTokens: 100, maxSequences: 3 });
  }, SLOW);

  test("logits, log-probabilities and state", { timeout: SLOW }, async () => {
    const [mine, other] = [ours.createState(), theirs.createState()];
    const [expected] = await theirs.run([{ state: other, tokens, logits: "all", targets }]).read();
    const logits: number[] = [];
    const logProbs: number[] = [];
    for (const [from, to] of [
      [0, 70],
      [70, 71],
      [71, 88],
    ] as const) {
      const span = { tokens: tokens.slice(from, to), targets: targets.slice(from, to), logits: "all" } as const;
      const [output] = await ours.run([{ state: mine, ...span }]).read();
      logits.push(...output!.logits);
      logProbs.push(...output!.logProbs);
    }
    expect(distance(Float32Array.from(logits), expected!.logits)).toBeLessThan(EXACT);
    expect(distance(Float32Array.from(logProbs), expected!.logProbs)).toBeLessThan(EXACT);
    expect(mine.positions).toBe(88);
    expect(distance(await mine.read(), await other.read())).toBeLessThan(EXACT);
    mine.dispose();
  });

  test("sequences beside one another, of which only some are asked; copies, and states made zero", {
    timeout: SLOW,
  }, async () => {
    const lengths = [9, 1, 30];
    const spans = (executable: Executable, states: readonly SequenceState[]) =>
      executable
        .run(
          lengths.map((length, i) => ({
            state: states[i]!,
            tokens: tokens.slice(10 * i, 10 * i + length),
            ...(i === 1 ? {} : { logits: "last" as const }),
            ...(i === 2 ? { targets: targets.slice(20, 50) } : {}),
          })),
        )
        .read();
    const [mine, other] = [ours, theirs].map((executable) => lengths.map(() => executable.createState()));
    for (let round = 0; round < 2; round++) {
      const [got, expected] = [await spans(ours, mine!), await spans(theirs, other!)];
      for (const i of [0, 2]) expect(distance(got[i]!.logits, expected[i]!.logits)).toBeLessThan(EXACT);
      expect(distance(got[2]!.logProbs, expected[2]!.logProbs)).toBeLessThan(EXACT);
      expect([got[0]!.logProbs, got[1]!.logits, got[1]!.logProbs].map((v) => v.length)).toEqual([0, 0, 0]);
    }
    mine![0]!.copyFrom(mine![2]!);
    expect(mine![0]!.positions).toBe(60);
    expect(await mine![0]!.read()).toEqual(await mine![2]!.read());
    mine![2]!.reset();
    const [fresh] = await ours.run([{ state: mine![2]!, tokens: [3], logits: "last" }]).read();
    const [first] = await theirs.run([{ state: theirs.createState(), tokens: [3], logits: "last" }]).read();
    expect(distance(fresh!.logits, first!.logits)).toBeLessThan(EXACT);
    for (const state of mine!) state.dispose();
  });
});

test.each(["f32", "q8", "q4"] as const)("%s: products in tiles of both sizes, and of few positions", {
  timeout: SLOW,
}, async (encoding) => {
  // Up, of 72 columns, has 309 rows: 5 × 13 large tiles of 803 positions, small ones of 70, and none of 8.
  expect([803, 70, 9].map((count) => productTile(312, count))).toEqual([64, 32, 32]);
  expect([803, 70].map((count) => productTile(72, count))).toEqual([32, 32]);
  const blocks = mixture().flatMap((block, i): Block[] => {
    if (block.kind === "mlp") return i === 3 ? [{ ...block, hidden: 309 }] : [];
    return ["embedding", "norm", "head"].includes(block.kind) ? [block] : [];
  });
  const model = modelOf(blocks, () => encoding);
  const options = { maxTokens: 803 };
  const [ours, theirs] = [await compileModel(webgpu, model, options), await compileModel(reference, model, options)];
  const state = ours.createState();
  const tokens = randomTokens(803, 131);
  const [expected] = await theirs.run([{ state: theirs.createState(), tokens, logits: "all" }]).read();
  for (const count of [803, 70, 8, 1]) {
    const [output] = await ours.run([{ state, tokens: tokens.slice(0, count), logits: "all" }]).read();
    expect(distance(output!.logits, expected!.logits.slice(0, count * 131))).toBeLessThan(EXACT);
  }
  ours.dispose();
});

test("what cannot be computed is refused, saying why", { timeout: SLOW }, async () => {
  const messages = await webgpu.evaluate<Record<string, string>>(new URL("webgpu-blocks-page.ts", import.meta.url));
  expect(messages).toEqual({
    "too many positions": expect.stringMatching(/11 positions long, this model's attention holds at most 10/),
    "a choice": expect.stringMatching(/asks for a token, but this backend chooses none: ask for logits/),
    "a chosen token": expect.stringMatching(/this backend chooses none: give its id/),
    "a state of another executable": expect.stringMatching(/the state of span 0 belongs to another executable/),
    "a copy from another executable": expect.stringMatching(/a state copies only a state of its own executable/),
    "a state that is too long": expect.stringMatching(/a state of this model has 0 values and 24 a position/),
    "a disposed state": expect.stringMatching(/this state was disposed/),
    "an unread block": expect.stringMatching(/only 1 of 5 blocks are done/),
    "a pass before this one": expect.stringMatching(/another pass was opened since/),
    "a block that is not loaded": expect.stringMatching(/block 2 is not loaded yet/),
    "logits without a head": expect.stringMatching(/span 0 asks for logits or targets, but the model has no head/),
    "A that is not negative": expect.stringMatching(/tensor "4.A" \(A\) must be negative and finite, element 3 is 1/),
    "heads too wide": expect.stringMatching(
      /block 2 \(attention\) has heads 1032 wide, the webgpu backend takes up to 1024/,
    ),
    "a table in q8": expect.stringMatching(/tensor "positions" of block 1 must be f32, is q8/),
    "too many tokens for the device": expect.stringMatching(/compile with a smaller maxTokens/),
    "too many tokens": expect.stringMatching(/maxTokens is 65536, the webgpu backend takes up to 65535/),
    "memory beside what was planned": "little",
    "memory of a state": "as planned",
    "a disposed executable": expect.stringMatching(/this executable was disposed/),
  });
});

test("the benchmark's checks hold, and it has a line for each model", { timeout: SLOW }, async () => {
  const { results, lines, profiled } = await webgpu.evaluate<{
    results: { ok: boolean }[];
    lines: string[];
    profiled: Record<string, number>;
  }>(new URL("webgpu-bench-page.ts", import.meta.url));
  expect(results).toHaveLength(12);
  expect(results.filter(({ ok }) => !ok)).toEqual([]);
  expect(lines).toHaveLength(7);
  // Read-in, norm, the rows that are wanted and the head beside a block's seven.
  expect(profiled).toMatchObject({ "GPT-2, one vector": 7 + 4, "GPT-2, prompt": 7 + 4, "VMamba, q8": 32 });
});

test("memory is given back", { timeout: SLOW }, async () => {
  const before = await webgpu.counts();
  const model = await inContextModel(webgpu, "mambaformer", ODD);
  await new Sequence(model).feedVectors(randomF32(9 * model.inputs));
  model.dispose();
  const after = await webgpu.counts();
  expect(after.liveBytes).toBe(before.liveBytes);
});
