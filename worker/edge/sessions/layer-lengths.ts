import type { Model } from "../../engine/model.ts";

/** f32s of each layer's state, in canonical order: a layer is one row of a stored session. */
export function layerLengths(model: Model): number[] {
  const lengths = new Map<number, number>();
  for (const { block, length } of model.executable.stateLayout) lengths.set(block, (lengths.get(block) ?? 0) + length);
  return [...lengths.values()];
}
