import { type Encoding, type Executable, SAMPLED, type Sampling, type Span } from "../../../kernels/backend.ts";
import { createReferenceBackend } from "../../../kernels/reference/index.ts";
import type { WebGpuBackend } from "../../../kernels/webgpu/index.ts";
import { PenaltyWindow } from "../../../worker/engine/penalty-window.ts";
import { draw } from "../../../worker/engine/random.ts";
import { sample, validateSampling } from "../../../worker/engine/sampling.ts";
import { compileModel, distance, type RandomModel, randomModel, randomTokens, type Sizes } from "./models.ts";

/** Checks of the WebGPU kernels against the reference on models of odd shapes, for any device: a test's and a benchmark's. */

export interface CheckResult {
  readonly name: string;
  /** max|a − b| / max|b|, or a count of what was wrong. */
  readonly error: number;
  readonly limit: number;
  readonly ok: boolean;
}

export type Report = (result: CheckResult) => void;

const SMALL: Sizes = {
  dim: 40,
  inner: 72,
  state: 16,
  conv: 4,
  dtRank: 3,
  vocab: 99,
  layers: 2,
  tied: true,
  biases: false,
};

/** Every kernel meets: sizes that are no multiple of anything, states smaller and larger than a vector, biases, mixed encodings. */
export const SHAPES: readonly (readonly [string, Partial<Sizes>, Encoding | ((name: string) => Encoding)])[] = [
  ["f32", { vocab: 403 }, "f32"],
  ["q8, nothing a multiple", { dim: 99, inner: 217, state: 5, conv: 3, dtRank: 7, vocab: 131 }, "q8"],
  [
    "q4 among others, biases, untied",
    { dim: 33, inner: 66, state: 3, conv: 2, dtRank: 33, biases: true, tied: false },
    (name) => (name.endsWith(".x") ? "q8" : name.endsWith(".dt") ? "f32" : "q4"),
  ],
];

interface Run {
  readonly logits: Float32Array;
  readonly logProbs: Float32Array;
  readonly state: Float32Array;
}

/** A position whose low word overflows on the way. */
const FIRST = 2 ** 32 - 3;
/** f32 arithmetic in another order. */
const EXACT = 2e-5;
/** int8 activations, in models so narrow that their rounding weighs more than in real ones. */
export const PACKED = 8e-2;

export function reporter(report: Report): (name: string, error: number, limit: number) => void {
  return (name, error, limit) => report({ name, error, limit, ok: error <= limit });
}

/**
 * A shape's model step by step, whole, in pieces and beside others, all against the reference; and the states handed over both ways.
 * @param limit of what may differ
 */
export async function checkShape(
  backend: WebGpuBackend,
  index: number,
  report: Report,
  length = 37,
  limit = EXACT,
): Promise<void> {
  const [name, changes, encoding] = SHAPES[index]!;
  const sizes = { ...SMALL, ...changes };
  const model = randomModel(sizes, encoding, 5 + index);
  const say = reporter(({ name: what, ...rest }) => report({ name: `${name}: ${what}`, ...rest }));
  const ours = await compileModel(backend, model, { maxTokens: 70, maxSequences: 3 });
  const theirs = await compileModel(createReferenceBackend(), model, { maxTokens: length });
  const tokens = randomTokens(length, sizes.vocab, index);
  const expected = await feed(theirs, tokens, [length]);
  for (const [way, lengths] of [
    ["steps", Array<number>(length).fill(1)],
    ["whole", [length]],
    ["pieces", [1, 2, 3, 1, length - 7]],
  ] as const) {
    const got = await feed(ours, tokens, lengths);
    say(`${way}, logits`, distance(got.logits, expected.logits), limit);
    say(`${way}, log-probabilities`, distance(got.logProbs, expected.logProbs), limit);
    say(`${way}, state`, distance(got.state, expected.state), limit);
  }
  await checkCompany(ours, model, sizes.vocab, say, limit);
  await checkChoice(ours, tokens, say);
  ours.dispose();
}

async function feed(executable: Executable, tokens: number[], lengths: readonly number[]): Promise<Run> {
  const state = executable.createState();
  const logits: number[] = [];
  const logProbs: number[] = [];
  let first = 0;
  for (const length of lengths) {
    const span = tokens.slice(first, first + length);
    const targets = span.map((_, i) => tokens[(first + i + 1) % tokens.length]!);
    // Alone and without a target a token takes the fused kernels.
    const fused = length === 1 && first % 2 === 0;
    const [output] = await executable
      .run([{ state, tokens: span, logits: "all", ...(fused ? {} : { targets }) }])
      .read();
    logits.push(...output!.logits);
    logProbs.push(...(fused ? [logProbability(output!.logits, targets[0]!)] : output!.logProbs));
    first += length;
  }
  const values = await state.read();
  state.dispose();
  return { logits: Float32Array.from(logits), logProbs: Float32Array.from(logProbs), state: values };
}

function logProbability(logits: Float32Array, token: number): number {
  const max = Math.max(...logits);
  return logits[token]! - max - Math.log(logits.reduce((sum, v) => sum + Math.exp(v - max), 0));
}

/** Three sequences in a pass, two of which came from the reference and go back to it. */
async function checkCompany(
  ours: Executable,
  model: RandomModel,
  vocab: number,
  say: (name: string, error: number, limit: number) => void,
  limit: number,
): Promise<void> {
  const theirs = await compileModel(createReferenceBackend(), model);
  const pasts = [4, 9, 0].map((length, i) => randomTokens(length, vocab, 20 + i));
  const nexts = [1, 1, 6].map((length, i) => randomTokens(length, vocab, 30 + i));
  const pairs = await Promise.all(
    pasts.map(async (past) => {
      const [mine, other] = [ours.createState(), theirs.createState()];
      if (past.length > 0) await theirs.run([{ state: other, tokens: past }]).read();
      mine.write(await other.read());
      return { mine, other };
    }),
  );
  const spans = (which: "mine" | "other"): Span[] =>
    pairs.map((pair, i) => ({ state: pair[which], tokens: nexts[i]!, logits: i === 1 ? "none" : "last" }));
  const got = await ours.run(spans("mine")).read();
  const expected = await theirs.run(spans("other")).read();
  for (const i of [0, 2]) {
    say(`three together, logits of ${i}`, distance(got[i]!.logits, expected[i]!.logits), limit);
  }
  say("three together, logits of none", got[1]!.logits.length, 0);
  for (const [i, { mine, other }] of pairs.entries()) {
    const moved = theirs.createState();
    moved.write(await mine.read());
    const [tokens] = [randomTokens(3, vocab, 40)];
    const [a] = await theirs.run([{ state: moved, tokens, logits: "last" }]).read();
    const [b] = await theirs.run([{ state: other, tokens, logits: "last" }]).read();
    say(`handed back ${i}`, distance(a!.logits, b!.logits), limit);
    mine.dispose();
  }
}

/** Tokens chosen ahead of the host are those that the engine's sampler chooses from the logits. */
async function checkChoice(
  ours: Executable,
  tokens: number[],
  say: (name: string, error: number, limit: number) => void,
): Promise<void> {
  const [ahead, behind] = [ours.createState(), ours.createState()];
  for (const [name, options] of [
    ["greedy", { temperature: 0 }],
    ["top_k, top_p and min_p", { temperature: 1.3, topK: 12, topP: 0.9, minP: 0.02 }],
    ["top_k over the vocabulary", { temperature: 0.7, topK: 64 }],
    ["top_p alone", { temperature: 0.8, topP: 0.95 }],
    ["the whole vocabulary", {}],
  ] as const) {
    ahead.reset();
    behind.reset();
    const vocab = ours.blocks.find((b) => b.kind === "embedding")!.vocab;
    const parameters = validateSampling({ seed: 2 ** 40 + 5, ...options }, vocab);
    const sampling = (position: number): Sampling => ({ ...parameters, position });
    const passes = [ours.run([{ state: ahead, tokens, sample: sampling(FIRST) }])];
    for (let i = 1; i < 8; i++) passes.push(ours.run([{ state: ahead, tokens: SAMPLED, sample: sampling(FIRST + i) }]));
    const chosen = (await Promise.all(passes.map((p) => p.read()))).map(([o]) => o!.token!);
    let wrong = 0;
    let next = tokens;
    for (const [i, token] of chosen.entries()) {
      const [output] = await ours.run([{ state: behind, tokens: next, logits: "last" }]).read();
      const expected = sample(output!.logits, parameters, new PenaltyWindow(), draw(parameters.seed, FIRST + i)).token;
      if (token !== expected) wrong++;
      next = [token];
    }
    say(`eight tokens chosen ahead, ${name}, wrong ones`, wrong, 0);
  }
  ahead.dispose();
  behind.dispose();
}
