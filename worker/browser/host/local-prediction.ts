import { stateLayout, stateLength } from "../../../kernels/state.ts";
import { ParameterError } from "../../engine/errors.ts";
import { beyondTraining, observe, predict } from "../../engine/in-context.ts";
import type { Model } from "../../engine/model.ts";
import { Sequence } from "../../engine/sequence.ts";
import type { BackendName, Example, PredictionResult } from "../client/api.ts";

/** Examples fed to a sequence of their own, and each query asked of a fork of it. @throws ModelError, ParameterError, the signal's reason */
export async function predictHere(
  model: Model,
  examples: readonly Example[],
  queries: readonly (readonly number[])[],
  signal: AbortSignal,
  backend: () => BackendName,
): Promise<PredictionResult> {
  const begin = performance.now();
  const sequence = new Sequence(model);
  try {
    const before = await observe(sequence, examples, { signal });
    // With the sequence itself as many states as the memory budget counts.
    const together = Math.max(1, model.executable.maxSequences - 1);
    const predictions = await predict(sequence, queries, { signal, together });
    const { name, trainedExamples } = model.manifest;
    const note = beyondTraining(name, trainedExamples, examples.length);
    return {
      predictions: predictions.map((values, i) => finite(values, `queries[${i}]`)),
      before: before.map((values) => [...values]),
      stateBytes: 4 * stateLength(stateLayout(model.blocks, sequence.consumed)),
      ...(note !== undefined && { note }),
      totalMs: performance.now() - begin,
      backend: backend(),
    };
  } finally {
    sequence.dispose();
  }
}

function finite(values: Float32Array, where: string): number[] {
  if (values.every(Number.isFinite)) return [...values];
  throw new ParameterError(
    `the model's prediction at ${where} is not a finite number: the numbers given are too large for it, scale them to about 1`,
    where,
  );
}
