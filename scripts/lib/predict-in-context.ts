import { z } from "zod";
import { observe, predict } from "../../worker/engine/in-context.ts";
import type { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { UsageError } from "./cli.ts";

const Vector = z.array(z.number());

/** A golden.json of the in-context-learning models: P points xs (P, n_dims) with ys (P), numbers or vectors. */
export const InContextInput = z.looseObject({
  kind: z.literal("in-context-learning"),
  cases: z.array(z.looseObject({ xs: z.array(Vector).min(1), ys: z.array(z.union([z.number(), Vector])) })),
});

/** What is fed as it is: for models whose prompts are no x, y, x, y. */
export const VectorsInput = z.looseObject({
  kind: z.literal("vectors"),
  cases: z.array(z.looseObject({ vectors: z.array(Vector).min(1) })),
});

/** For each case the head's outputs after every vector. */
export async function predictVectors(
  model: Model,
  { cases }: z.output<typeof VectorsInput>,
): Promise<{ vectors: number[][]; outputs: number[][] }[]> {
  const results = [];
  for (const [c, { vectors }] of cases.entries()) {
    const uneven = vectors.findIndex((v) => v.length !== model.inputs);
    if (uneven >= 0) {
      throw new UsageError(
        `cases[${c}].vectors[${uneven}] has ${vectors[uneven]!.length} numbers, the model takes ${model.inputs}`,
      );
    }
    const sequence = new Sequence(model);
    try {
      const all = await sequence.feedVectors(Float32Array.from(vectors.flat()));
      const outputs = vectors.map((_, i) => [...all.subarray(i * model.outputs, (i + 1) * model.outputs)]);
      results.push({ vectors, outputs });
    } finally {
      sequence.dispose();
    }
  }
  return results;
}

/**
 * For each case P predictions, the i-th given x1, y1 … xi: a number, or where ys are vectors a vector. The last y is not fed, since no
 * prediction can depend on it.
 */
export async function predictInContext(
  model: Model,
  { cases }: z.output<typeof InContextInput>,
): Promise<{ xs: number[][]; ys: (number | number[])[]; predictions: (number | number[])[] }[]> {
  const results = [];
  for (const [c, { xs, ys }] of cases.entries()) {
    if (ys.length !== xs.length)
      throw new UsageError(`cases[${c}] has ${xs.length} xs and ${ys.length} ys: give a y for each x`);
    const sequence = new Sequence(model);
    try {
      const examples = xs.slice(0, -1).map((x, i) => ({ x, y: ys[i]! }));
      const outputs = await observe(sequence, examples);
      const [final] = await predict(sequence, [xs.at(-1)!]);
      const vectors = ys.some((y) => typeof y !== "number");
      const predictions = [...outputs, final!].map((o) => (vectors ? [...o] : o[0]!));
      results.push({ xs, ys, predictions });
    } finally {
      sequence.dispose();
    }
  }
  return results;
}
