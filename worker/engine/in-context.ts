import { positionLimit } from "../../kernels/blocks.ts";
import { interleaves } from "./architectures/in-context.ts";
import { ModelError, ParameterError } from "./errors.ts";
import type { Model } from "./model.ts";
import type { AdvanceOptions, Sequence } from "./sequence.ts";

/** A number, or a vector where that is what the model predicts; a shorter one is followed by zeros. */
export type Label = number | readonly number[];

export interface Example {
  readonly x: readonly number[];
  readonly y: Label;
}

/**
 * Learning from examples in the prompt, as the study lays them out (Garg et al. 2022): x1, y1, x2, y2, … are a vector each, a y padded
 * with zeros, and what the model says after an x is its prediction of that x's y.
 *
 * An example costs the same whenever it comes: with a state of fixed size exactly, with attention up to the look back.
 *
 * @example
 * await observe(sequence, [{ x: [1, 2], y: 3 }]);
 * const [y] = await predict(sequence, [[2, 2]]);
 * @returns what it predicted of each y before it saw it
 * @throws ParameterError naming what does not fit, before anything is fed; or the x or y that is too large for the model, after which
 *   the sequence is of no use
 */
export async function observe(
  sequence: Sequence,
  examples: readonly Example[],
  options: AdvanceOptions = {},
): Promise<Float32Array[]> {
  const { model } = sequence;
  const { inputs, outputs } = requireExamples(model);
  const vectors = new Float32Array(2 * examples.length * inputs);
  examples.forEach(({ x, y }, i) => {
    fill(vectors.subarray(2 * i * inputs, (2 * i + 1) * inputs), x, `examples[${i}].x`, model);
    fill(vectors.subarray((2 * i + 1) * inputs, (2 * i + 2) * inputs), label(y, i, model), `examples[${i}].y`, model);
  });
  checkRoom(sequence, 2 * examples.length, "examples");
  const all = await sequence.feedVectors(vectors, options);
  checkFinite(all, outputs);
  return examples.map((_, i) => all.slice(2 * i * outputs, (2 * i + 1) * outputs));
}

export interface PredictOptions extends AdvanceOptions {
  /** queries that are asked in one pass, each in a state of its own. Default 1: one state at a time. */
  readonly together?: number;
}

/** Predictions of what belongs to each x, given the examples so far: (outputs) numbers each. The sequence stays as it is. */
export async function predict(
  sequence: Sequence,
  queries: readonly (readonly number[])[],
  { together = 1, ...options }: PredictOptions = {},
): Promise<Float32Array[]> {
  const { inputs } = requireExamples(sequence.model);
  checkRoom(sequence, Math.min(queries.length, 1), "query");
  const vectors = queries.map((x, i) => {
    const vector = new Float32Array(inputs);
    fill(vector, x, `query[${i}]`, sequence.model);
    return vector;
  });
  const predictions: Float32Array[] = [];
  // Of a model that is still loading only one pass can be open.
  const group = sequence.model.ready ? together : 1;
  for (let at = 0; at < vectors.length; at += group) {
    predictions.push(...(await ask(sequence, vectors.slice(at, at + group), options)));
  }
  return predictions;
}

/** Each vector fed to a fork of its own, all in one pass. */
async function ask(
  sequence: Sequence,
  vectors: readonly Float32Array[],
  options: AdvanceOptions,
): Promise<Float32Array[]> {
  const forks: Sequence[] = [];
  const leaves = vectors.map(() => sequence.model.batcher.join());
  try {
    for (const _ of vectors) forks.push(sequence.fork());
    const asked = await Promise.allSettled(forks.map((fork, i) => fork.feedVectors(vectors[i]!, options)));
    return asked.map((outcome) => {
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value;
    });
  } finally {
    for (const leave of leaves) leave();
    for (const fork of forks) fork.dispose();
  }
}

/**
 * An example's y as the model is fed it: up to as many numbers as it predicts, then zeros, which may be given too.
 * @throws ParameterError on another length
 */
function label(y: Label, index: number, { inputs, outputs, manifest }: Model): number[] {
  const given = typeof y === "number" ? [y] : y;
  // A model of densities says more numbers than a point has.
  const length = Math.min(inputs, outputs);
  const fits = given.length > 0 && given.length <= inputs && given.slice(length).every((v) => v === 0);
  if (!fits) {
    const where = `examples[${index}].y`;
    const wanted = length === 1 ? "a number" : `a list of up to ${length}`;
    throw new ParameterError(
      `${where} has ${given.length} numbers: it must be ${wanted}, which is what ${manifest.id} predicts`,
      where,
    );
  }
  return Array.from({ length: inputs }, (_, i) => given[i] ?? 0);
}

/** @throws ParameterError on another length, or a number that f32 cannot hold */
function fill(vector: Float32Array, values: readonly number[], where: string, { manifest }: Model): void {
  if (values.length !== vector.length) {
    const numbers = `${values.length} number${values.length === 1 ? "" : "s"}`;
    throw new ParameterError(`${where} has ${numbers}: ${manifest.id} takes ${vector.length}`, where);
  }
  vector.set(values);
  const bad = vector.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0)
    throw new ParameterError(`${where} has ${values[bad]} at ${bad}: numbers must be finite and within f32`, where);
}

/**
 * What the model says after a y is nobody's prediction, but where that is no number, the state behind it is none either.
 * @param all (2 · examples, outputs)
 */
function checkFinite(all: Float32Array, outputs: number): void {
  const bad = all.findIndex((v) => !Number.isFinite(v));
  if (bad < 0) return;
  const position = Math.floor(bad / outputs);
  const where = `examples[${position >> 1}].${position % 2 === 0 ? "x" : "y"}`;
  throw new ParameterError(
    `after ${where} the model's output is not a finite number: the numbers given are too large for it, scale them to about 1`,
    where,
  );
}

/** How many examples a model's attention holds with a query behind them, without which they are of no use; Infinity without attention. */
export function mostExamples({ blocks }: Pick<Model, "blocks">): number {
  return Math.floor((positionLimit(blocks) - 1) / 2);
}

/** What is to be said where a model was given more examples than it was trained with; undefined where it was not, or nobody knows. */
export function beyondTraining(name: string, trained: number | null | undefined, given: number): string | undefined {
  if (trained == null || given <= trained) return undefined;
  return `${name} was trained with up to ${trained} examples before a question and has ${given}: the further beyond, the worse its predictions may be`;
}

/** @param more positions: an even number is of examples, which leave room for a query behind them */
function checkRoom({ consumed, model }: Sequence, more: number, param: string): void {
  const [limit, most] = [model.positionLimit, mostExamples(model)];
  if (consumed + more <= (more % 2 === 0 ? 2 * most : limit)) return;
  const what = more === 1 ? "a query" : `${more / 2} more`;
  throw new ParameterError(
    `${model.manifest.id} looks back at up to ${limit} positions, which are ${most} examples and a query: ${consumed / 2} are there, ` +
      `${what} would not fit; give fewer examples or begin anew, or use a model without attention`,
    param,
    "context",
  );
}

/** @throws ModelError when the model is fed tokens */
export function requireVectors(model: Model): Pick<Model, "inputs" | "outputs"> {
  if (model.inputs === 0 || model.outputs === 0) {
    throw new ModelError(
      `package ${model.manifest.id} is fed tokens, not vectors: it does not learn from (x, y) examples`,
    );
  }
  return model;
}

/** @throws ModelError when the model is fed tokens, ParameterError when its prompts are no examples */
function requireExamples(model: Model): Pick<Model, "inputs" | "outputs"> {
  const { inputs, outputs } = requireVectors(model);
  if (!interleaves(model.manifest.hyperparameters)) throw new ParameterError(noExamples(model.manifest), "model");
  return { inputs, outputs };
}

/** Why a model trained without interleaving is not asked with examples, and how it is. */
export function noExamples({ id, name }: { readonly id: string; readonly name: string }): string {
  return (
    `${id} was trained without interleaving (interleave: false): its prompt is one sequence of vectors, not examples (x, y). ` +
    `Give it vectors: POST /v2/models/${name}/infer at the edge, kind "vectors" of npm run predict`
  );
}
