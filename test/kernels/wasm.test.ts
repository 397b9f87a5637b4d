import { describe, expect, test } from "vitest";
import type { Executable, SequenceState } from "../../kernels/backend.ts";
import { createReferenceBackend } from "../../kernels/reference/index.ts";
import { stateLength } from "../../kernels/state.ts";
import {
  backendWith,
  compileModel,
  differences,
  distance,
  everyDots,
  lastLogits,
  type RandomModel,
  randomModel,
  randomTokens,
  runSpans,
  type Sizes,
  SMALL,
} from "./wasm-fixtures.ts";

const reference = createReferenceBackend();
const backends = await Promise.all(everyDots.map(backendWith));
const wasm = backends[0]!;

const shapes: readonly (readonly [string, Partial<Sizes>])[] = [
  ["multiples of everything", { dim: 64, inner: 128, vocab: 128 }],
  ["nothing a multiple of anything", { dim: 99, inner: 517, state: 5, conv: 3, dtRank: 7, vocab: 131 }],
  ["an odd width between", { dim: 33, inner: 66, state: 3, dtRank: 33 }],
  ["state size 8", { state: 8 }],
  ["state size 1", { state: 1 }],
  ["convolution of width 2", { conv: 2 }],
  ["convolution of width 5", { conv: 5, inner: 41 }],
  ["every bias, untied head", { biases: true, tied: false }],
  ["smaller than a tile", { dim: 3, inner: 5, state: 2, dtRank: 1, vocab: 7 }],
  ["a larger vocabulary", { vocab: 1003, layers: 1 }],
];

interface Run {
  readonly logits: Float32Array;
  readonly logProbs: Float32Array;
  readonly state: Float32Array;
}

/** A fresh sequence fed in spans of the given lengths: every position's logits and log-probabilities, and the state it ends in. */
async function feed(executable: Executable, tokens: number[], lengths: number[]): Promise<Run> {
  const state = executable.createState();
  const logits: number[] = [];
  const logProbs: number[] = [];
  let first = 0;
  for (const length of lengths) {
    const span = tokens.slice(first, first + length);
    const targets = span.map((_, i) => tokens[(first + i + 1) % tokens.length]!);
    const [output] = await runSpans(executable, [{ state, tokens: span, logits: "all", targets }]);
    logits.push(...output!.logits);
    logProbs.push(...output!.logProbs);
    first += length;
  }
  return { logits: Float32Array.from(logits), logProbs: Float32Array.from(logProbs), state: await state.read() };
}

function expectSameBits(a: Run, b: Run): void {
  expect(differences(a.logits, b.logits)).toBe(0);
  expect(differences(a.logProbs, b.logProbs)).toBe(0);
  expect(differences(a.state, b.state)).toBe(0);
}

describe.each(shapes)("%s", (_, changes) => {
  const sizes = { ...SMALL, ...changes };
  const tokens = randomTokens(21, sizes.vocab);

  test("f32 agrees with the reference to 1e-5", async () => {
    const model = randomModel(sizes, "f32");
    const ours = await feed(await compileModel(wasm, model), tokens, [21]);
    const theirs = await feed(await compileModel(reference, model), tokens, [21]);
    expect(distance(ours.logits, theirs.logits)).toBeLessThan(1e-5);
    expect(distance(ours.logProbs, theirs.logProbs)).toBeLessThan(1e-5);
    expect(distance(ours.state, theirs.state)).toBeLessThan(1e-5);
  });

  // int8 activations: what a random model loses, not what a trained one does.
  test.each(["q8", "q4"] as const)("%s agrees with the reference to 8e-2", async (encoding) => {
    const model = randomModel(sizes, encoding);
    const ours = await feed(await compileModel(wasm, model), tokens, [21]);
    const theirs = await feed(await compileModel(reference, model), tokens, [21]);
    expect(distance(ours.logits, theirs.logits)).toBeLessThan(8e-2);
    expect(distance(ours.state, theirs.state)).toBeLessThan(8e-2);
  });

  test.each([
    "f32",
    "q8",
    "q4",
  ] as const)("%s: the same bits whole, in pieces, step by step, and with any dots", async (encoding) => {
    const model = randomModel(sizes, encoding);
    const whole = await feed(await compileModel(wasm, model), tokens, [21]);
    expect(whole.logits.every(Number.isFinite)).toBe(true);
    for (const backend of backends) {
      const executable = await compileModel(backend, model);
      for (const lengths of [[21], [4, 8, 9], [1, 2, 3, 5, 10], Array(21).fill(1)]) {
        expectSameBits(await feed(executable, tokens, lengths), whole);
      }
    }
  });

  test.each(["f32", "q8", "q4"] as const)("%s: the same bits alone and in a batch of eight", async (encoding) => {
    const executable = await compileModel(wasm, randomModel(sizes, encoding));
    const prompts = [1, 2, 3, 4, 5, 9, 13, 1].map((length, i) => randomTokens(length, sizes.vocab, 100 + i));
    const alone = await Promise.all(prompts.map((prompt) => feed(executable, prompt, [prompt.length])));
    const spans = prompts.map((prompt) => ({
      state: executable.createState(),
      tokens: prompt,
      logits: "all" as const,
      targets: prompt.map((_, i) => prompt[(i + 1) % prompt.length]!),
    }));
    const outputs = await runSpans(executable, spans);
    for (const [i, { logits, logProbs }] of outputs.entries()) {
      expectSameBits({ logits, logProbs, state: await spans[i]!.state.read() }, alone[i]!);
    }
  });
});

test("matrices may be quantized one by one", async () => {
  const model = randomModel(SMALL, "q8", 1, (name) => name.endsWith(".in") || name.endsWith(".dt"));
  const tokens = randomTokens(9, SMALL.vocab);
  const ours = await feed(await compileModel(wasm, model), tokens, [3, 6]);
  const theirs = await feed(await compileModel(reference, model), tokens, [9]);
  expect(distance(ours.logits, theirs.logits)).toBeLessThan(5e-2);
});

describe("outputs", () => {
  async function started(): Promise<{ executable: Executable; tokens: number[] }> {
    return { executable: await compileModel(wasm, randomModel(SMALL, "q8")), tokens: randomTokens(6, SMALL.vocab) };
  }

  test("each span gets the positions it asked for", async () => {
    const { executable, tokens } = await started();
    const span = (changes: object) => ({ state: executable.createState(), tokens, ...changes });
    const all = await feed(executable, tokens, [6]);
    const last = all.logits.slice(-SMALL.vocab);
    const targets = tokens.map((_, i) => tokens[(i + 1) % tokens.length]!);
    const outputs = await runSpans(executable, [
      span({ logits: "last" }),
      span({}),
      span({ targets }),
      span({ logits: "last", targets }),
      span({ logits: "all" }),
    ]);
    expect(outputs.map((o) => [o.logits.length / SMALL.vocab, o.logProbs.length])).toEqual([
      [1, 0],
      [0, 0],
      [0, 6],
      [1, 6],
      [6, 0],
    ]);
    expect(differences(outputs[0]!.logits, last)).toBe(0);
    expect(differences(outputs[2]!.logProbs, all.logProbs)).toBe(0);
    expect(differences(outputs[3]!.logits, last)).toBe(0);
    expect(differences(outputs[3]!.logProbs, all.logProbs)).toBe(0);
    expect(differences(outputs[4]!.logits, all.logits)).toBe(0);
  });

  test("log-probabilities are those of the logits", async () => {
    const { executable, tokens } = await started();
    const { logits, logProbs } = await feed(executable, tokens, [6]);
    tokens.forEach((_, t) => {
      const row = [...logits.subarray(t * SMALL.vocab, (t + 1) * SMALL.vocab)];
      const exact = row[tokens[(t + 1) % 6]!]! - Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0));
      expect(Math.abs(logProbs[t]! - exact)).toBeLessThan(2e-6);
    });
  });

  test("growing memory for another state leaves logits that were read intact", async () => {
    const { executable, tokens } = await started();
    const [output] = await executable.run([{ state: executable.createState(), tokens, logits: "last" }]).read();
    const before = output!.logits.slice();
    for (let i = 0; i < 20; i++) executable.createState();
    expect(output!.logits).toEqual(before);
  });
});

describe("states", () => {
  const model: RandomModel = randomModel({ ...SMALL, inner: 77, state: 5 }, "f32");
  const tokens = randomTokens(12, SMALL.vocab);

  async function afterSome(): Promise<{ executable: Executable; state: SequenceState }> {
    const executable = await compileModel(wasm, model);
    const state = executable.createState();
    await lastLogits(executable, state, tokens);
    return { executable, state };
  }

  test("what is written is read back bit for bit, and continues as if never saved", async () => {
    const { executable, state } = await afterSome();
    const saved = await state.read();
    const restored = executable.createState();
    restored.write(saved);
    expect(differences(await restored.read(), saved)).toBe(0);
    const [a, b] = [await lastLogits(executable, state, [3, 4]), await lastLogits(executable, restored, [3, 4])];
    expect(differences(b, a)).toBe(0);
    expect(differences(await restored.read(), await state.read())).toBe(0);
  });

  test("the reference reads and continues it", async () => {
    const { executable, state } = await afterSome();
    const theirs = await compileModel(reference, model);
    const moved = theirs.createState();
    moved.write(await state.read());
    const [a, b] = [await lastLogits(theirs, moved, [3, 4]), await lastLogits(executable, state, [3, 4])];
    expect(distance(b, a)).toBeLessThan(1e-5);
  });

  test("a copy goes its own way", async () => {
    const { executable, state } = await afterSome();
    const copy = executable.createState();
    copy.copyFrom(state);
    const before = await state.read();
    await lastLogits(executable, copy, tokens);
    expect(differences(await state.read(), before)).toBe(0);
    expect(differences(await copy.read(), before)).toBeGreaterThan(0);
  });

  test("a reset state is a fresh one", async () => {
    const { executable, state } = await afterSome();
    state.reset();
    expect((await state.read()).every((v) => v === 0)).toBe(true);
    const fresh = await lastLogits(executable, executable.createState(), tokens);
    expect(differences(await lastLogits(executable, state, tokens), fresh)).toBe(0);
  });

  test("a freed slot is taken again, zeroed, and memory does not grow", async () => {
    const { executable } = await afterSome();
    const fresh = await lastLogits(executable, executable.createState(), tokens);
    for (let i = 0; i < 200; i++) {
      const state = executable.createState();
      expect(differences(await lastLogits(executable, state, tokens), fresh)).toBe(0);
      state.dispose();
      state.dispose();
    }
    const [a, b] = [executable.createState(), executable.createState()];
    await lastLogits(executable, a, tokens);
    expect((await b.read()).every((v) => v === 0)).toBe(true);
  });

  test("a value that is not finite, or a wrong length, leaves it unchanged", async () => {
    const { executable, state } = await afterSome();
    const before = await state.read();
    const length = stateLength(executable.stateLayout);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const values = new Float32Array(length);
      values[length - 1] = bad;
      expect(() => state.write(values)).toThrow(/state value \d+ is (NaN|Infinity)/);
    }
    expect(() => state.write(new Float32Array(length - 1))).toThrow(`has ${length} values, got ${length - 1}`);
    expect(differences(await state.read(), before)).toBe(0);
  });
});
