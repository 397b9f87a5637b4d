import { ParameterError } from "../../engine/errors.ts";
import { standardize } from "../../engine/standardize.ts";
import type { PredictionResult } from "../client/api.ts";
import type { WirePrediction } from "../protocol.ts";
import type { HostModel } from "./host-model.ts";

/** Wherever the model computes, examples are scaled here, and predictions scaled back. @throws ParameterError */
export async function predictAsked(
  model: HostModel,
  asked: WirePrediction,
  signal: AbortSignal,
): Promise<PredictionResult> {
  const { examples, queries } = asked;
  const { inputs, outputs, name } = model.info;
  // A language model says itself what it is.
  if (asked.standardize !== true || outputs === 0) return model.predict(examples, queries, signal);
  if (outputs !== 1) {
    const message = `${name} predicts ${outputs} numbers: standardize is for models that predict one`;
    throw new ParameterError(message, "standardize");
  }
  const scaled = standardize(examples, queries, inputs);
  const result = await model.predict(scaled.examples, scaled.queries, signal);
  const restored = (rows: PredictionResult["before"]) => rows.map((row) => row.map(scaled.restore));
  return { ...result, predictions: restored(result.predictions), before: restored(result.before) };
}
