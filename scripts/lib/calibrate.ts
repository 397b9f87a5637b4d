import { createReferenceBackend } from "../../kernels/reference/index.ts";
import type { PackageSource } from "../../weights/source.ts";
import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import type { TextTokenizer } from "../../worker/engine/tokenizer.ts";
import { UsageError } from "./cli.ts";
import { documentsOf } from "./score.ts";

/** Tokens of an excerpt. */
const TOKENS = 256;
/** a tokenizer's tokens are shorter than 16 characters on average. */
const CHARACTERS = 16 * TOKENS;
/** Fewer say nothing of a model. */
const LEAST_TOKENS = 64;

/** share of the columns' mean that is added to each. */
const SMOOTHING = 0.3;

/** Token lists of at most 256 each, from all over a text. */
export interface Excerpts {
  readonly calibration: readonly number[][];
  /** about half as many, from between the others. */
  readonly heldOut: readonly number[][];
}

/**
 * Evenly spaced excerpts of a text, none across an <|endoftext|>.
 * @param tokens of all calibration excerpts, about; fewer when the documents are short
 * @throws UsageError when the text is too short to learn from
 */
export function excerptsOf(text: string, tokenizer: TextTokenizer, tokens: number): Excerpts {
  const wanted = Math.ceil(tokens / TOKENS);
  const all = wanted + Math.ceil(wanted / 2);
  const size = Math.min(CHARACTERS, Math.ceil(text.length / all));
  const pieces = documentsOf(text).flatMap((d) => cut(d, size));
  const count = Math.min(all, pieces.length);
  const excerpts = Array.from({ length: count }, (_, i) =>
    tokenizer.encode(pieces[Math.floor((i * pieces.length) / count)]!).slice(0, TOKENS),
  );
  const [calibration, heldOut] = [excerpts.filter((_, i) => i % 3 !== 1), excerpts.filter((_, i) => i % 3 === 1)];
  const found = Math.min(countTokens(calibration), countTokens(heldOut));
  if (found < LEAST_TOKENS) {
    throw new UsageError(
      `the calibration text is too short: only ${found} tokens in one of its parts; give some pages`,
    );
  }
  return { calibration, heldOut };
}

function cut(document: string, size: number): string[] {
  return Array.from({ length: Math.ceil(document.length / size) }, (_, i) => document.slice(i * size, (i + 1) * size));
}

export function countTokens(excerpts: readonly number[][]): number {
  return excerpts.reduce((sum, e) => sum + e.length, 0);
}

/**
 * For each matrix, by name, what an error in each column costs: the mean of the squares of the column's inputs. A quantizer that weighs
 * by it lessens the error of the product instead of that of the weights. A sample says too little of inputs that are rarely large, so
 * all are moved towards their mean. A tied table is measured where it is the head.
 * @param source an f32 package
 */
export async function inputImportance(
  source: PackageSource,
  excerpts: readonly number[][],
  onProgress?: (done: number, total: number) => void,
): Promise<Map<string, Float64Array>> {
  const squares = new Map<string, Float64Array>();
  const backend = createReferenceBackend((weight, x) => {
    const sums = squares.get(weight) ?? new Float64Array(x.length);
    squares.set(weight, sums);
    for (let c = 0; c < x.length; c++) sums[c]! += x[c]! ** 2;
  });
  const model = await Model.load(source, backend, { memoryBudget: Infinity });
  await perplexityOf(model, excerpts, onProgress);
  model.dispose();
  for (const [name, sums] of squares) squares.set(name, smooth(sums, countTokens(excerpts)));
  return squares;
}

function smooth(sums: Float64Array, tokens: number): Float64Array {
  const mean = sums.reduce((a, b) => a + b, 0) / sums.length;
  return sums.map((sum) => (sum + SMOOTHING * mean) / tokens);
}

/** Perplexity of excerpts, each from an empty state and fed the end-of-text token first. */
export async function perplexityOf(
  model: Model,
  excerpts: readonly number[][],
  onProgress?: (done: number, total: number) => void,
): Promise<number> {
  const start = model.requireTokenizer().endOfText;
  const total = countTokens(excerpts);
  let done = 0;
  let nats = 0;
  for (const targets of excerpts) {
    const sequence = new Sequence(model);
    const inputs = [start ?? targets[0]!, ...targets.slice(0, -1)];
    const before = done;
    const { logProbs } = await sequence.feed(inputs, {
      targets,
      onProgress: (fed) => onProgress?.(before + fed, total),
    });
    sequence.dispose();
    for (const p of logProbs) nats -= p;
    done += targets.length;
  }
  return Math.exp(nats / total);
}
