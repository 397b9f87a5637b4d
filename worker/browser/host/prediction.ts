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
  // A language model says itself what it is.
  if (asked.standardize !== true || model.info.outputs === 0) return model.predict(examples, queries, signal);
  const scaled = standardize(examples, queries, model.info);
  const result = await model.predict(scaled.examples, scaled.queries, signal);
  const restored = (rows: PredictionResult["before"]) => rows.map((row) => row.map(scaled.restore));
  return { ...result, predictions: restored(result.predictions), before: restored(result.before) };
}
