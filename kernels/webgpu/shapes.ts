import type { MambaSizes } from "./sizes.ts";
import type { GemmShape } from "./wgsl/gemm.ts";

/** How kernels cut their work into workgroups. Which is best is the device's: tune.ts tries some. */
export interface Shapes {
  /** rows of in_proj that a workgroup of the fused decode's first half takes. */
  readonly rows: 8 | 16 | 32 | 64;
  /** channels that a workgroup of its second half takes. */
  readonly channels: 8 | 16 | 32 | 64 | 128;
  /** of the products of many tokens. */
  readonly gemm: GemmShape;
}

export const SHAPES: Shapes = { rows: 32, channels: 32, gemm: { tokens: 8, quads: 1 } };

/** The smallest, which leave the most parts to sum: what buffers are made for. */
export const FINEST: Pick<Shapes, "rows" | "channels"> = { rows: 8, channels: 8 };

type Rows = Pick<Shapes, "rows">;
type Channels = Pick<Shapes, "channels">;

/** Workgroups of a block's fused first half: more than one, which is how its kernel knows which half it is. */
export function enterGroups({ rows }: Rows, { block }: MambaSizes): number {
  return Math.max(2, Math.ceil((2 * block.inner) / rows));
}

/** Parts that it leaves of Δ, B and C: those of its workgroups that have channels of x. */
export function bcParts({ rows }: Rows, { block }: MambaSizes): number {
  return Math.ceil(block.inner / rows);
}

/** Workgroups of the second half, and parts that they leave of what the block adds to u. */
export function decodeParts({ channels }: Channels, { block }: MambaSizes): number {
  return Math.ceil(block.inner / channels);
}
