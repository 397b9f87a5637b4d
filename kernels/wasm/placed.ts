import type { AttentionBlock, MambaBlock, MlpBlock, Norm, S4dBlock, S4MambaBlock } from "../blocks.ts";
import type { Place } from "./tensors.ts";

/** projections write whole blocks of 8 rows. */
export const ROWS = 8;

/** A matrix with its bias's address, 0 when there is none. */
export interface Projection {
  readonly matrix: Place;
  readonly bias: number;
}

export interface PlacedNorm {
  readonly type: Norm["type"];
  readonly weight: number;
  /** 0 for rms. */
  readonly bias: number;
  readonly eps: number;
}

/** A Mamba block whose tensors are addresses. `inner` and the rest as in blocks.ts; strides in f32s. */
export interface PlacedMamba {
  readonly kind: "mamba";
  readonly block: MambaBlock;
  readonly norm: PlacedNorm;
  readonly inProj: Projection;
  readonly convWeight: number;
  readonly convBias: number;
  readonly xProj: Projection;
  readonly dtProj: Projection;
  readonly A: number;
  readonly D: number;
  readonly outProj: Projection;
  /** inner, rounded up to what the kernels take at once. */
  readonly channels: number;
  /** stride of in_proj's output, x then z, with room for the channels behind z's last. */
  readonly xzStride: number;
  /** stride of x_proj's output. */
  readonly dbcStride: number;
  /** bytes from the start of a sequence's slot. */
  readonly convState: number;
  readonly ssmState: number;
}

export interface PlacedS4d {
  readonly state: number;
  readonly decay: number;
  readonly C: number;
  readonly D: number;
}

export interface PlacedS4dBlock {
  readonly kind: "s4d";
  readonly block: S4dBlock;
  readonly norm: PlacedNorm;
  readonly s4d: PlacedS4d;
  readonly mix: Projection;
  /** dim, rounded up to what the kernels take at once. */
  readonly channels: number;
  /** stride of mix's output. */
  readonly xzStride: number;
  readonly ssmState: number;
}

export interface PlacedS4Mamba {
  readonly kind: "s4-mamba";
  readonly block: S4MambaBlock;
  readonly norm: PlacedNorm;
  readonly inProj: Projection;
  readonly convWeight: number;
  readonly convBias: number;
  readonly s4d: PlacedS4d;
  readonly outProj: Projection;
  readonly channels: number;
  readonly xzStride: number;
  readonly convState: number;
  readonly ssmState: number;
}

export interface PlacedAttention {
  readonly kind: "attention";
  readonly block: AttentionBlock;
  readonly norm: PlacedNorm;
  readonly qkv: Projection;
  readonly proj: Projection;
  readonly xzStride: number;
  /** of a head. */
  readonly width: number;
  /** width, rounded up to a vector: stride of a head's values. */
  readonly lanes: number;
  /** bytes from the start of a sequence's slot: keys and values in the order of attention.c. */
  readonly keys: number;
  readonly values: number;
}

export interface PlacedMlp {
  readonly kind: "mlp";
  readonly block: MlpBlock;
  readonly norm: PlacedNorm;
  readonly up: Projection;
  readonly down: Projection;
  readonly xzStride: number;
}

export type PlacedBlock =
  | { readonly kind: "embedding"; readonly table: Place }
  | { readonly kind: "read-in"; readonly inputs: number; readonly proj: Projection }
  | { readonly kind: "positions"; readonly table: number }
  | PlacedMamba
  | PlacedS4dBlock
  | PlacedS4Mamba
  | PlacedAttention
  | PlacedMlp
  | { readonly kind: "norm"; readonly norm: PlacedNorm }
  | { readonly kind: "head"; readonly proj: Projection };

/** The matrices that a block multiplies by. */
export function projectionsOf(placed: PlacedBlock): Projection[] {
  switch (placed.kind) {
    case "mamba":
      return [placed.inProj, placed.xProj, placed.dtProj, placed.outProj];
    case "s4-mamba":
      return [placed.inProj, placed.outProj];
    case "s4d":
      return [placed.mix];
    case "attention":
      return [placed.qkv, placed.proj];
    case "mlp":
      return [placed.up, placed.down];
    case "read-in":
    case "head":
      return [placed.proj];
    default:
      return [];
  }
}

/** f32s that a token of the block takes in each of the shared buffers. */
export function widthsOf(placed: PlacedBlock): { x: number; xz: number; dbc: number; dt: number } {
  switch (placed.kind) {
    case "mamba":
      return { x: placed.channels, xz: placed.xzStride, dbc: placed.dbcStride, dt: placed.channels };
    case "s4-mamba":
    case "s4d":
      return { x: placed.channels, xz: placed.xzStride, dbc: 0, dt: 0 };
    case "attention":
    case "mlp":
      return { x: 0, xz: placed.xzStride, dbc: 0, dt: 0 };
    default:
      return { x: 0, xz: 0, dbc: 0, dt: 0 };
  }
}
