import { type ImageOnlyBlock, imageMatrixNames, imageMultiplyAdds, imageTensorShapes } from "./image-blocks.ts";

/**
 * A model as a list of blocks. A block names its tensors and gives its sizes; it says nothing of files, formats or HTTP.
 * Blocks run in order on one residual stream u of shape (tokens, dim). Backends implement each kind once and may fuse across neighbours.
 */

/**
 * Normalization in front of a block. rms: u / sqrt(mean(u²) + eps) · weight (Zhang & Sennrich 2019).
 * layer: (u − mean(u)) / sqrt(var(u) + eps) · weight + bias (Ba et al. 2016).
 */
export type Norm =
  | {
      readonly type: "rms";
      /** f32 tensor (dim). */
      readonly weight: string;
      readonly eps: number;
    }
  | {
      readonly type: "layer";
      /** f32 tensors (dim). */
      readonly weight: string;
      readonly bias: string;
      readonly eps: number;
    };

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

/** u = W x + b of an input vector x: a model that begins with it is fed vectors in place of token ids. */
export interface ReadInBlock {
  readonly kind: "read-in";
  /** length of x. */
  readonly inputs: number;
  readonly dim: number;
  readonly proj: Linear;
}

/** u += E[p], p the position since the sequence began: learned positions, of which there are `count`. */
export interface PositionsBlock {
  readonly kind: "positions";
  readonly dim: number;
  readonly count: number;
  /** f32 (count, dim). */
  readonly weight: string;
}

/**
 * Causal multi-head attention (Vaswani et al. 2017), residual included: u += proj(softmax(q kᵀ / √(dim / heads)) v).
 * State of a sequence: kv (positions so far, 2·dim), a row k then v: it grows with every position, up to `capacity`.
 */
export interface AttentionBlock {
  readonly kind: "attention";
  readonly dim: number;
  readonly heads: number;
  /** most positions of a sequence. */
  readonly capacity: number;
  readonly norm: Norm;
  /** (3·dim, dim): rows q, k, v, each head by head. */
  readonly qkv: Linear;
  /** (dim, dim). */
  readonly proj: Linear;
}

/** u += down(gelu(up(norm(u)))). */
export interface MlpBlock {
  readonly kind: "mlp";
  readonly dim: number;
  readonly hidden: number;
  /** exact (with erf), or, where it is absent, in the tanh form (GPT-2's gelu_new). */
  readonly gelu?: "exact";
  readonly norm: Norm;
  /** (hidden, dim). */
  readonly up: Linear;
  /** (dim, hidden). */
  readonly down: Linear;
}

/**
 * A diagonal state-space layer of fixed dynamics (S4D, Gu et al. 2022) as a recurrence over complex states, one channel each:
 * h ← decay · h + x,  y = Re(Σ_n C_n h_n) + D x. Equal to the convolution with the kernel Re(Σ_n C_n decay_nᵗ).
 */
export interface S4d {
  /** complex states a channel (N/2 in the paper, which counts conjugate pairs). */
  readonly state: number;
  /** f32 (channels, 2·state): exp(Δ A), real and imaginary parts in turn. */
  readonly decay: string;
  /** f32 (channels, 2·state): 2 C (exp(Δ A) − 1) / A, likewise. */
  readonly C: string;
  /** f32 (channels). */
  readonly D: string;
}

/**
 * S4D with its mixing layer, residual included: a, b = mix(gelu(s4d(norm(u)))), u += a · σ(b); gelu in its exact form.
 * State of a sequence: ssm (dim, 2·state), real and imaginary parts in turn.
 */
export interface S4dBlock {
  readonly kind: "s4d";
  readonly dim: number;
  readonly norm: Norm;
  readonly s4d: S4d;
  /** (2·dim, dim): rows a, then b. */
  readonly mix: Linear;
}

/**
 * A Mamba block with S4D in place of the selective scan and the gate left bare (Park et al. 2024, S4-Mamba), residual included:
 * x, z = inProj(norm(u)), u += outProj(s4d(silu(conv(x))) · z). State of a sequence: conv as in Mamba, then ssm (inner, 2·state).
 */
export interface S4MambaBlock {
  readonly kind: "s4-mamba";
  readonly dim: number;
  readonly inner: number;
  readonly conv: number;
  readonly norm: Norm;
  /** (2·inner, dim): rows x, then z. */
  readonly inProj: Linear;
  /** f32 (inner, conv), oldest column first. */
  readonly convWeight: string;
  /** f32 (inner). */
  readonly convBias?: string;
  readonly s4d: S4d;
  /** (dim, inner). */
  readonly outProj: Linear;
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

export type Block =
  | EmbeddingBlock
  | ReadInBlock
  | PositionsBlock
  | MambaBlock
  | AttentionBlock
  | MlpBlock
  | S4dBlock
  | S4MambaBlock
  | NormBlock
  | HeadBlock
  | ImageOnlyBlock;

/** Length of the vectors that a model is fed; 0 when it is fed token ids. */
export function inputWidth(blocks: readonly Block[]): number {
  const first = blocks[0];
  return first?.kind === "read-in" ? first.inputs : 0;
}

/** Numbers that the head gives; 0 without a head. */
export function outputWidth(blocks: readonly Block[]): number {
  const last = blocks.at(-1);
  return last?.kind === "head" ? last.vocab : 0;
}

/** Most positions that a sequence of the model can have: what grows with them is bounded. Infinity when nothing grows. */
export function positionLimit(blocks: readonly Block[]): number {
  return Math.min(
    ...blocks.map((b) =>
      b.kind === "attention" ? b.capacity : b.kind === "positions" ? b.count : Number.POSITIVE_INFINITY,
    ),
  );
}

/** The shape that each tensor of a block must have, by tensor name. */
export function tensorShapes(block: Block): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  const linear = (l: Linear, rows: number, cols: number): void => {
    shapes.set(l.weight, [rows, cols]);
    if (l.bias !== undefined) shapes.set(l.bias, [rows]);
  };
  const norm = (n: Norm): void => {
    shapes.set(n.weight, [block.dim]);
    if (n.type === "layer") shapes.set(n.bias, [block.dim]);
  };
  const s4d = ({ state, decay, C, D }: S4d, channels: number): void => {
    shapes.set(decay, [channels, 2 * state]);
    shapes.set(C, [channels, 2 * state]);
    shapes.set(D, [channels]);
  };
  switch (block.kind) {
    case "embedding":
      shapes.set(block.weight, [block.vocab, block.dim]);
      break;
    case "read-in":
      linear(block.proj, block.dim, block.inputs);
      break;
    case "positions":
      shapes.set(block.weight, [block.count, block.dim]);
      break;
    case "attention":
      norm(block.norm);
      linear(block.qkv, 3 * block.dim, block.dim);
      linear(block.proj, block.dim, block.dim);
      break;
    case "mlp":
      norm(block.norm);
      linear(block.up, block.hidden, block.dim);
      linear(block.down, block.dim, block.hidden);
      break;
    case "s4d":
      norm(block.norm);
      s4d(block.s4d, block.dim);
      linear(block.mix, 2 * block.dim, block.dim);
      break;
    case "s4-mamba":
      norm(block.norm);
      linear(block.inProj, 2 * block.inner, block.dim);
      shapes.set(block.convWeight, [block.inner, block.conv]);
      if (block.convBias !== undefined) shapes.set(block.convBias, [block.inner]);
      s4d(block.s4d, block.inner);
      linear(block.outProj, block.dim, block.inner);
      break;
    case "mamba":
      norm(block.norm);
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
      norm(block.norm);
      break;
    case "head":
      linear(block.proj, block.vocab, block.dim);
      break;
    default:
      return imageTensorShapes(block);
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
    case "read-in":
      return [block.proj.weight];
    case "attention":
      return [block.qkv.weight, block.proj.weight];
    case "mlp":
      return [block.up.weight, block.down.weight];
    case "s4d":
      return [block.mix.weight];
    case "s4-mamba":
      return [block.inProj.weight, block.outProj.weight];
    case "positions":
    case "norm":
      return [];
    case "head":
      return [block.proj.weight];
    default:
      return imageMatrixNames(block);
  }
}

/**
 * Multiply-adds a token takes in a block, the head's included only where its logits are asked for; attention's at its capacity, where it
 * looks back furthest. Of image models, a position behind the block.
 */
export function multiplyAdds(block: Block): number {
  switch (block.kind) {
    case "embedding":
    case "positions":
    case "norm":
      return 0;
    case "read-in":
      return block.inputs * block.dim;
    case "attention":
      return block.dim * (4 * block.dim + 2 * block.capacity);
    case "mlp":
      return 2 * block.dim * block.hidden;
    case "s4d":
      return block.dim * (2 * block.dim + 6 * block.s4d.state);
    case "s4-mamba":
      return block.inner * (3 * block.dim + block.conv + 6 * block.s4d.state);
    case "mamba": {
      const { dim, inner, state, conv, dtRank } = block;
      return inner * (2 * dim + dim + dtRank + 2 * state + dtRank + conv + 3 * state);
    }
    case "head":
      return block.vocab * block.dim;
    default:
      return imageMultiplyAdds(block);
  }
}
