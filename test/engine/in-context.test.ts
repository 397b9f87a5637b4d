import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { SnapshotError } from "../../worker/engine/errors.ts";
import { type Example, mostExamples, observe, predict } from "../../worker/engine/in-context.ts";
import type { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { decodeSnapshot, encodeSnapshot, restoreSnapshot, takeSnapshot } from "../../worker/engine/snapshot.ts";
import { everyBackend, reference, wasm, wasmBaseline } from "../support/backends.ts";
import { randomNumbers } from "../support/checkpoints.ts";
import { FAMILIES, goldenInContextModel, inContextModel, ODD, SIZES } from "../support/in-context.ts";
import { tinyModel } from "../support/models.ts";

interface Golden {
  readonly cases: { xs: number[][]; ys: number[]; predictions: number[] }[];
}

const bits = (values: Float32Array): Uint32Array => new Uint32Array(values.slice().buffer);

/** max |a − b| / max |b| */
function error(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, largest] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
    largest = Math.max(largest, Math.abs(b[i]!));
  }
  return difference / largest;
}

function randomVectors(model: Model, count: number, seed = 5): Float32Array {
  const random = randomNumbers(seed);
  return Float32Array.from({ length: count * model.inputs }, () => 4 * random() - 2);
}

describe.each(everyBackend)("golden vectors of mambaformer-icl on %s", (_, backend) => {
  test.each(FAMILIES)("%s within 1e-4 of the largest prediction", async (family) => {
    const { cases } = JSON.parse(readFileSync(`test/golden/icl-${family}/golden.json`, "utf8")) as Golden;
    const model = await goldenInContextModel(backend, family);
    expect(cases.length).toBeGreaterThan(0);
    for (const { xs, ys, predictions } of cases) {
      const sequence = new Sequence(model);
      const examples = xs.slice(0, -1).map((x, i): Example => ({ x, y: ys[i]! }));
      const outputs = [...(await observe(sequence, examples)), ...(await predict(sequence, xs.slice(-1)))];
      const seen = outputs.map(([y]) => y!);
      expect(seen).toHaveLength(predictions.length);
      expect(error(seen, predictions)).toBeLessThan(1e-4);
      sequence.dispose();
    }
  });
});

describe.each(FAMILIES)("%s", (family) => {
  test.each(everyBackend)("any cut of the vectors gives the same bits on %s", async (_, backend) => {
    const model = await inContextModel(backend, family, ODD, "f32", { compile: { maxTokens: 16 } });
    const vectors = randomVectors(model, 50);
    const { inputs } = model;
    const whole = new Sequence(model);
    const outputs = await whole.feedVectors(vectors);
    const state = bits(await whole.state.read());
    for (const chunk of [1, 3, 16, 17, 49]) {
      const sequence = new Sequence(model);
      const seen = new Float32Array(outputs.length);
      for (let at = 0; at < 50; at += chunk) {
        const part = vectors.subarray(at * inputs, (at + chunk) * inputs);
        seen.set(await sequence.feedVectors(part), at * model.outputs);
      }
      expect(bits(seen)).toEqual(bits(outputs));
      expect(bits(await sequence.state.read())).toEqual(state);
      sequence.dispose();
    }
  });

  test.each([
    ["even", SIZES],
    ["odd", ODD],
  ])("wasm against the reference, %s sizes; both SIMD modules alike", async (_, sizes) => {
    const [a, b, c] = await Promise.all([reference, wasm, wasmBaseline].map((x) => inContextModel(x, family, sizes)));
    const vectors = randomVectors(a!, 50);
    const [x, y, z] = await Promise.all([a!, b!, c!].map((model) => new Sequence(model).feedVectors(vectors)));
    expect(error(y!, x!)).toBeLessThan(2e-5);
    expect(bits(z!)).toEqual(bits(y!));
  });

  test("q8 within 5e-2 of f32", async () => {
    const sizes = { ...SIZES, inputs: 32 };
    const [a, b] = [await inContextModel(reference, family, sizes), await inContextModel(wasm, family, sizes, "q8")];
    const vectors = randomVectors(a, 40);
    const [x, y] = [await new Sequence(a).feedVectors(vectors), await new Sequence(b).feedVectors(vectors)];
    expect(error(y, x)).toBeLessThan(5e-2);
  });

  test.each(everyBackend)("a snapshot goes on as if nothing had happened on %s", async (_, backend) => {
    const model = await inContextModel(backend, family, ODD);
    const vectors = randomVectors(model, 40);
    const at = 21 * model.inputs;
    const sequence = new Sequence(model);
    await sequence.feedVectors(vectors.subarray(0, at));
    const bytes = await encodeSnapshot(await takeSnapshot(sequence));
    const rest = await sequence.feedVectors(vectors.subarray(at));
    const restored = restoreSnapshot(model, await decodeSnapshot(bytes));
    const seen = await restored.feedVectors(vectors.subarray(at));
    // The reference keeps f64 and stores f32.
    if (backend.name === "wasm") expect(bits(seen)).toEqual(bits(rest));
    else expect(error(seen, rest)).toBeLessThan(1e-5);
  });

  test("its state moves from wasm to the reference and back", async () => {
    const [a, b] = [await inContextModel(wasm, family, ODD), await inContextModel(reference, family, ODD)];
    const vectors = randomVectors(a, 30);
    const first = new Sequence(a);
    await first.feedVectors(vectors.subarray(0, 20 * a.inputs));
    const second = restoreSnapshot(b, await takeSnapshot(first));
    const [x, y] = [vectors.subarray(20 * a.inputs, 25 * a.inputs), vectors.subarray(25 * a.inputs)];
    expect(error(await second.feedVectors(x), await first.feedVectors(x))).toBeLessThan(2e-5);
    const third = restoreSnapshot(a, await takeSnapshot(second));
    expect(error(await third.feedVectors(y), await first.feedVectors(y))).toBeLessThan(2e-5);
  });

  test("sequences of a pass do not see one another; a freed slot leaves nothing behind", async () => {
    const model = await inContextModel(wasm, family, ODD);
    const [a, b] = [randomVectors(model, 20, 1), randomVectors(model, 13, 2)];
    const alone = await new Sequence(model).feedVectors(b);
    const used = new Sequence(model);
    await used.feedVectors(a);
    used.dispose();
    const { executable } = model;
    const spans = [a, b].map((vectors) => ({
      state: executable.createState(),
      tokens: [],
      vectors,
      logits: "all" as const,
    }));
    const [, together] = await executable.run(spans).read();
    expect(bits(together!.logits)).toEqual(bits(alone));
  });
});

describe("a state with attention", () => {
  test("grows with its positions and says so; one without does not", async () => {
    const sizeAt = async (family: (typeof FAMILIES)[number], counts: number[]): Promise<number[]> => {
      const model = await inContextModel(wasm, family);
      const sequence = new Sequence(model);
      const sizes = [];
      for (const count of counts) {
        await sequence.feedVectors(randomVectors(model, count));
        sizes.push((await sequence.state.read()).length);
      }
      expect(sequence.state.positions).toBe(family === "mamba" || family === "s4d" ? 0 : 12);
      return sizes;
    };
    const row = 4 * 2 * 32; // layers, k and v, dim
    expect(await sizeAt("gpt2", [2, 10])).toEqual([2 * row, 12 * row]);
    const [two, twelve] = await sizeAt("mambaformer", [2, 10]);
    expect(twelve! - two!).toBe(10 * 2 * 2 * 32);
    for (const family of ["mamba", "s4d"] as const) {
      const [a, b] = await sizeAt(family, [2, 10]);
      expect(a).toBe(b);
    }
  });

  test.each([
    ["gpt2", 120],
    ["standard-hybrid", 60],
    ["mambaformer", 120],
    ["mamba", Number.POSITIVE_INFINITY],
  ] as const)("%s holds %d positions", async (family, limit) => {
    const model = await inContextModel(wasm, family);
    expect(model.positionLimit).toBe(limit);
  });

  test.each([
    [6, 2],
    [7, 3],
    [81, 40],
    [82, 40],
  ])("of %d positions it holds %d examples and a query", async (positions, most) => {
    const model = await inContextModel(wasm, "standard-hybrid", { points: positions });
    expect(mostExamples(model)).toBe(most);
    const sequence = new Sequence(model);
    const examples = Array.from({ length: most }, (_, i) => ({ x: [1, 2, 3, 4, i / 50], y: 1 }));
    expect(await observe(sequence, examples)).toHaveLength(most);
    expect(await predict(sequence, [[1, 2, 3, 4, 5]])).toHaveLength(1);
    await expect(observe(sequence, examples.slice(0, 1))).rejects.toThrow(/1 more would not fit/);
  });

  test.each(everyBackend)("is full at its limit on %s", async (_, backend) => {
    const model = await inContextModel(backend, "standard-hybrid", { points: 6 });
    const sequence = new Sequence(model);
    const example = { x: [1, 2, 3, 4, 5], y: 1 };
    await observe(sequence, [example, example]);
    const full = /up to 6 positions, which are 2 examples and a query: 2 are there, 1 more would not fit/;
    await expect(observe(sequence, [example])).rejects.toThrow(full);
    await expect(observe(sequence, [example])).rejects.toMatchObject({ name: "ParameterError", param: "examples" });
    expect(await predict(sequence, [example.x])).toHaveLength(1);
    // As sessions were before a place was kept for the query.
    await sequence.feedVectors(new Float32Array(10));
    await expect(predict(sequence, [example.x])).rejects.toThrow(/3 are there, a query would not fit/);
    await expect(sequence.feedVectors(new Float32Array(5))).rejects.toThrow(/7 positions long.*holds at most 6/);
  });

  test("a snapshot with more positions, or of another length, is refused", async () => {
    const [small, large] = [
      await inContextModel(wasm, "mambaformer", { points: 4 }),
      await inContextModel(wasm, "mambaformer", { points: 9 }),
    ];
    const sequence = new Sequence(large);
    await sequence.feedVectors(randomVectors(large, 10));
    const snapshot = { ...(await takeSnapshot(sequence)), model: small.manifest.id, family: small.manifest.family };
    expect(() => restoreSnapshot(small, snapshot)).toThrow(/10 positions, the attention of .* holds at most 8/);
    const cut = { ...(await takeSnapshot(sequence)), consumed: 9 };
    expect(() => restoreSnapshot(large, cut)).toThrow(SnapshotError);
  });
});

// On wasm: the reference norms in f64, where this y is not too large.
test("a y after which the state is no number is refused by name, and no snapshot is taken of it", async () => {
  const model = await inContextModel(wasm, "mamba");
  const sequence = new Sequence(model);
  const x = [1, -1, 0.5, 2, 0];
  const examples = [
    { x, y: 1 },
    { x, y: 3.4e38 },
  ];
  await expect(observe(sequence, examples)).rejects.toMatchObject({ name: "ParameterError", param: "examples[1].y" });
  await expect(takeSnapshot(sequence)).rejects.toThrow(
    /value \d+ of the state is \S+, no snapshot of it is taken: .*earlier/,
  );
});

test.each([
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
])("a snapshot of a state with one %s is not taken, and none with it restored", async (value) => {
  const model = await inContextModel(wasm, "mamba");
  const sequence = new Sequence(model);
  await sequence.feedVectors(randomVectors(model, 3));
  const snapshot = await takeSnapshot(sequence);
  const state = snapshot.state.slice();
  state[state.length - 1] = value;
  expect(() => restoreSnapshot(model, { ...snapshot, state })).toThrow(SnapshotError);
  sequence.state.read = async () => state;
  await expect(takeSnapshot(sequence)).rejects.toMatchObject({ name: "NonFiniteStateError" });
});

describe("predicting", () => {
  test.each(FAMILIES)("%s: queries asked in one pass get the same bits as one by one", async (family) => {
    const model = await inContextModel(wasm, family, ODD);
    const sequence = new Sequence(model);
    await observe(sequence, [{ x: [1, -1, 0.5], y: [0.25, 1] }]);
    const queries = Array.from({ length: 12 }, (_, i) => [Math.sin(i), Math.cos(i), i / 10]);
    const alone = await predict(sequence, queries);
    const passes: number[] = [];
    const { executable } = model;
    const run = executable.run.bind(executable);
    executable.run = (spans) => {
      passes.push(spans.length);
      return run(spans);
    };
    const together = await predict(sequence, queries, { together: 5 });
    expect(passes).toEqual([5, 5, 2]);
    expect(together.map(bits)).toEqual(alone.map(bits));
    await expect(predict(sequence, queries, { together: 5, signal: AbortSignal.abort() })).rejects.toThrow(/abort/);
    expect(await predict(sequence, queries.slice(0, 1))).toEqual(alone.slice(0, 1));
  });

  test("leaves the sequence as it was, and equals observing", async () => {
    for (const family of FAMILIES) {
      const model = await inContextModel(wasm, family);
      const [a, b] = [new Sequence(model), new Sequence(model)];
      const example = { x: [1, -1, 0.5, 2, 0], y: 0.25 };
      await observe(a, [example]);
      const [asked] = await predict(a, [[0, 1, 2, 3, 4]]);
      await observe(b, [example]);
      expect(bits(await a.state.read())).toEqual(bits(await b.state.read()));
      const [seen] = await observe(b, [{ x: [0, 1, 2, 3, 4], y: 9 }]);
      expect(bits(asked!)).toEqual(bits(seen!));
    }
  });

  test.each([
    [{ x: [1, 2, 3], y: 1 }, /examples\[0\]\.x has 3 numbers: .* takes 5/],
    [{ x: [1, 2, 3, 4, Number.NaN], y: 1 }, /examples\[0\]\.x has NaN at 4/],
    [{ x: [1, 2, 3, 4, 1e39], y: 1 }, /examples\[0\]\.x has 1e\+39 at 4/],
    [{ x: [1, 2, 3, 4, 5], y: [] }, /examples\[0\]\.y has 0 numbers: it must be a number/],
    [{ x: [1, 2, 3, 4, 5], y: [1, 0, 2] }, /examples\[0\]\.y has 3 numbers: it must be a number/],
    [{ x: [1, 2, 3, 4, 5], y: Number.POSITIVE_INFINITY }, /examples\[0\]\.y has Infinity/],
  ])("%j is refused", async (example, message) => {
    const model = await inContextModel(wasm, "mamba");
    const sequence = new Sequence(model);
    await expect(observe(sequence, [example])).rejects.toThrow(message);
    expect(sequence.consumed).toBe(0);
  });

  test("a language model is refused by name", async () => {
    const sequence = new Sequence(await tinyModel(wasm));
    await expect(observe(sequence, [])).rejects.toThrow(/fed tokens, not vectors/);
  });
});
