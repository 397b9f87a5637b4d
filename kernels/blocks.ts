/**
 * A model as a list of blocks. A block names its tensors and gives its sizes; it says nothing of files, formats or HTTP.
 * Blocks run in order on one residual stream u of shape (tokens, dim). Backends implement each kind once and may fuse across neighbours.
 */

/** Normalization in front of a block. rms: u / sqrt(mean(u²) + eps) · weight (Zhang & Sennrich 2019). */
export interface Norm {
  readonly type: "rms";
  /** f32 tensor (dim). */
  readonly weight: string;
  readonly eps: number;
}

/** y = W x + b. */
export interface Linear {
  /** tensor (rows, cols), any encoding. */
  readonly weight: string;
  /** f32 tensor (rows). */
  readonly bias?: string;
}

/** u = E[token]. */
export interface EmbeddingBlock {
  readonly kind: "embedding";
  readonly vocab: number;
  readonly dim: number;
  /** tensor (vocab, dim), any encoding; may be the head's. */
  readonly weight: string;
}

/**
 * Mamba-1 (Gu & Dao 2023, §3, algorithm 2), residual included: u += out_proj(y · silu(z)).
 * State of a sequence: conv (conv − 1, inner) oldest first, then ssm (inner, state).
 */
export interface MambaBlock {
  readonly kind: "mamba";
  readonly dim: number;
  /** expanded width, E·dim in the paper. */
  readonly inner: number;
  /** N in the paper. */
  readonly state: number;
  /** width of the causal depthwise convolution. */
  readonly conv: number;
  /** R in the paper. */
  readonly dtRank: number;
  readonly norm: Norm;
  /** (2·inner, dim): rows x, then z. */
  readonly inProj: Linear;
  /** f32 (inner, conv), oldest column first. */
  readonly convWeight: string;
  /** f32 (inner). */
  readonly convBias?: string;
  /** (dtRank + 2·state, inner): rows dt, B, C. */
  readonly xProj: string;
  /** (inner, dtRank); its bias lies inside the softplus. */
  readonly dtProj: Linear;
  /** f32 (inner, state): A = −exp(A_log), negative. */
  readonly A: string;
  /** f32 (inner). */
  readonly D: string;
  /** (dim, inner). */
  readonly outProj: Linear;
}

/** u = norm(u): the last normalization before the head. */
export interface NormBlock {
  readonly kind: "norm";
  readonly dim: number;
  readonly norm: Norm;
}

/** logits = W u + b. */
export interface HeadBlock {
  readonly kind: "head";
  readonly vocab: number;
  readonly dim: number;
  /** (vocab, dim); the embedding's tensor when tied. */
  readonly proj: Linear;
}

export type Block = EmbeddingBlock | MambaBlock | NormBlock | HeadBlock;

/** The shape that each tensor of a block must have, by tensor name. */
export function tensorShapes(block: Block): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  const linear = (l: Linear, rows: number, cols: number): void => {
    shapes.set(l.weight, [rows, cols]);
    if (l.bias !== undefined) shapes.set(l.bias, [rows]);
  };
  switch (block.kind) {
    case "embedding":
      shapes.set(block.weight, [block.vocab, block.dim]);
      break;
    case "mamba":
      shapes.set(block.norm.weight, [block.dim]);
      linear(block.inProj, 2 * block.inner, block.dim);
      shapes.set(block.convWeight, [block.inner, block.conv]);
      if (block.convBias !== undefined) shapes.set(block.convBias, [block.inner]);
      shapes.set(block.xProj, [block.dtRank + 2 * block.state, block.inner]);
      linear(block.dtProj, block.inner, block.dtRank);
      shapes.set(block.A, [block.inner, block.state]);
      shapes.set(block.D, [block.inner]);
      linear(block.outProj, block.dim, block.inner);
      break;
    case "norm":
      shapes.set(block.norm.weight, [block.dim]);
      break;
    case "head":
      linear(block.proj, block.vocab, block.dim);
      break;
  }
  return shapes;
}

/** Names of the matrices of a block that a projection multiplies by (or an embedding reads): those that may be quantized. */
export function matrixNames(block: Block): string[] {
  switch (block.kind) {
    case "embedding":
      return [block.weight];
    case "mamba":
      return [block.inProj.weight, block.xProj, block.dtProj.weight, block.outProj.weight];
    case "norm":
      return [];
    case "head":
      return [block.proj.weight];
  }
}

/** Multiply-adds a token takes in a block, the head's included only where its logits are asked for. */
export function multiplyAdds(block: Block): number {
  switch (block.kind) {
    case "embedding":
    case "norm":
      return 0;
    case "mamba": {
      const { dim, inner, state, conv, dtRank } = block;
      return inner * (2 * dim + dim + dtRank + 2 * state + dtRank + conv + 3 * state);
    }
    case "head":
      return block.vocab * block.dim;
  }
}
