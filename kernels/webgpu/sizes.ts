import type { MambaBlock } from "../blocks.ts";

/** The next multiple. */
export function pad(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** f32 offsets of a Mamba block's vectors in the one buffer that holds them; what a model lacks is zeros. */
export interface Vectors {
  readonly norm: number;
  readonly inBias: number;
  readonly conv: number;
  readonly convBias: number;
  readonly dtBias: number;
  readonly A: number;
  readonly D: number;
  readonly outBias: number;
  /** zeros, for projections without a bias. */
  readonly none: number;
  /** f32s in all. */
  readonly length: number;
}

/** What the kernels of a Mamba block need to know of its sizes. Widths are padded to whole tiles, 32 columns, with zeros. */
export interface MambaSizes {
  readonly block: MambaBlock;
  /** vec4f of a padded vector of dim. */
  readonly dimQuads: number;
  readonly innerPad: number;
  /** f32s of a row of in_proj's outcome: x, then z. */
  readonly xzStride: number;
  readonly xTileRows: number;
  readonly vectors: Vectors;
  /** f32s before the ssm part of the block's state. */
  readonly ssm: number;
  /** f32s of the block's state. */
  readonly stateLength: number;
  /** where Δ, B and C begin in a row of many tokens' x_proj outcome, and its length; all are multiples of 4. */
  readonly B: number;
  readonly C: number;
  readonly dbcStride: number;
}

export function mambaSizes(block: MambaBlock): MambaSizes {
  const { dim, inner, state, conv, dtRank } = block;
  let length = 0;
  const place = (count: number): number => {
    const at = length;
    length += pad(count, 8);
    return at;
  };
  const vectors = {
    norm: place(pad(dim, 32)),
    inBias: place(2 * inner),
    conv: place(inner * conv),
    convBias: place(inner),
    dtBias: place(inner),
    A: place(inner * state),
    D: place(inner),
    outBias: place(dim),
    none: place(dtRank + 2 * state),
    length: 0,
  };
  const B = pad(dtRank, 4);
  const C = B + pad(state, 4);
  const ssm = (conv - 1) * inner;
  return {
    block,
    dimQuads: pad(dim, 32) / 4,
    innerPad: pad(inner, 32),
    xzStride: pad(2 * inner, 32),
    xTileRows: Math.ceil((dtRank + 2 * state) / 8),
    vectors: { ...vectors, length },
    ssm,
    stateLength: ssm + inner * state,
    B,
    C,
    dbcStride: pad(Math.max(C + state, dtRank), 32),
  };
}
