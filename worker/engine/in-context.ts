import { ModelError, ParameterError } from "./errors.ts";
import type { Model } from "./model.ts";
import type { AdvanceOptions, Sequence } from "./sequence.ts";

/** A number, or a vector of at most as many numbers as x has. */
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
 * const [y] = await predictOne(sequence, [2, 2]);
 */
export async function observe(
  sequence: Sequence,
  examples: readonly Example[],
  options: AdvanceOptions = {},
): Promise<Float32Array[]> {
  const { inputs, outputs } = requireVectors(sequence.model);
  const vectors = new Float32Array(2 * examples.length * inputs);
  examples.forEach(({ x, y }, i) => {
    fill(vectors.subarray(2 * i * inputs, (2 * i + 1) * inputs), x, `examples[${i}].x`, true);
    fill(vectors.subarray((2 * i + 1) * inputs, (2 * i + 2) * inputs), toVector(y), `examples[${i}].y`, false);
  });
  checkRoom(sequence, 2 * examples.length, "examples");
  const all = await sequence.feedVectors(vectors, options);
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
  const { inputs } = requireVectors(sequence.model);
  checkRoom(sequence, Math.min(queries.length, 1), "query");
  const vectors = queries.map((x, i) => {
    const vector = new Float32Array(inputs);
    fill(vector, x, `query[${i}]`, true);
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

function toVector(y: Label): readonly number[] {
  return typeof y === "number" ? [y] : y;
}

/** @throws ParameterError on another length (`whole`) or too great a one, or a number that f32 cannot hold */
function fill(vector: Float32Array, values: readonly number[], where: string, whole: boolean): void {
  if (whole ? values.length !== vector.length : values.length === 0 || values.length > vector.length) {
    const expected = whole ? `${vector.length}` : `1 to ${vector.length}`;
    throw new ParameterError(`${where} has ${values.length} numbers: this model takes ${expected}`, where);
  }
  vector.set(values);
  const bad = vector.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0)
    throw new ParameterError(`${where} has ${values[bad]} at ${bad}: numbers must be finite and within f32`, where);
}

function checkRoom({ consumed, model }: Sequence, more: number, param: string): void {
  const limit = model.positionLimit;
  if (consumed + more <= limit) return;
  throw new ParameterError(
    `${model.manifest.id} looks back at up to ${limit} positions, two an example: ${consumed} are taken, ${more} more do not fit; ` +
      "give fewer examples or begin anew, or use a model without attention",
    param,
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
