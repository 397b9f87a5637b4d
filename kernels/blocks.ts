import type { ImageOnlyBlock } from "./image-blocks.ts";

/**
 * A model as a list of blocks. A block names its tensors and gives its sizes; it says nothing of files, formats or HTTP.
 * Blocks run in order on one residual stream u of shape (tokens, dim). Backends implement each kind once and may fuse across neighbours.
 */

export { matrixNames, multiplyAdds, tensorShapes } from "./block-tensors.ts";

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
