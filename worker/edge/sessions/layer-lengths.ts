import { stateLayout } from "../../../kernels/state.ts";
import type { Model } from "../../engine/model.ts";

/** f32s of a row: a Durable Object's row holds 2,000,000 bytes. */
const MOST = 450_000;

/**
 * f32s of each row of a stored session, in canonical order: a layer's state is one row, or several where attention has made it long.
 * @param consumed positions so far, which states with attention grow with
 */
export function layerLengths({ blocks }: Pick<Model, "blocks">, consumed: number): number[] {
  const lengths = new Map<number, number>();
  for (const { block, length } of stateLayout(blocks, consumed)) lengths.set(block, (lengths.get(block) ?? 0) + length);
  return [...lengths.values()].flatMap((length) =>
    Array.from({ length: Math.ceil(length / MOST) }, (_, i) => Math.min(MOST, length - i * MOST)),
  );
}
