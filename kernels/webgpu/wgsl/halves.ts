import type { Encoding } from "../../../weights/layout.ts";
import type { KernelSource } from "../pipelines.ts";
import type { BlockWeights, StreamPlaces } from "../plan.ts";
import type { MambaSizes } from "../sizes.ts";
import { directives, type Variants } from "../variants.ts";
import { enterHalf } from "./enter.ts";
import { leaveHalf } from "./leave.ts";
import { MATH } from "./math.ts";
import { unitProduct, unpackers } from "./matrix.ts";
import { isPacked } from "./rows.ts";

export interface HalvesShape {
  readonly sizes: MambaSizes;
  readonly weights: BlockWeights;
  readonly places: StreamPlaces;
  /** rows of in_proj that a workgroup of the first half takes: 8, 16, 32 or 64. */
  readonly rows: number;
  /** channels that one of the second half takes: 8, 16, 32, 64 or 128. */
  readonly channels: number;
  /** parts of u that the block before leaves. */
  readonly partsBefore: number;
  /** parts of Δ, B and C that the first half leaves. */
  readonly bcParts: number;
}

export interface HalvesEncodings {
  readonly inProj: Encoding;
  readonly xProj: Encoding;
  readonly dtProj: Encoding;
  readonly outProj: Encoding;
}

/** vec4f of Δ, B and C that the second half keeps in workgroup memory, dt_proj's last tile of columns whole. */
export function smallQuads({ block, xTileRows }: MambaSizes): number {
  return Math.max(2 * xTileRows, 8 * Math.ceil(block.dtRank / 32));
}

/** What a token's kernels share, bound once, and what a block has of its own, bound once for both halves. */
export const HALVES_GROUPS = ["ww", "rwu"] as const;

/**
 * A Mamba block for one token, in two halves that cannot be one dispatch, as each needs all of what came before. They are one kernel all
 * the same, so that the host need not change pipelines 48 times a token: the first half's workgroups lie along x, and are more than one;
 * the second half's lie along y.
 */
export function halvesSource(shape: HalvesShape, encodings: HalvesEncodings, variants: Variants): KernelSource {
  const { inProj, xProj, dtProj, outProj } = encodings;
  const { block } = shape.sizes;
  const place = (name: string): number => shape.weights.matrices.get(name)! / 16;
  const product = (letter: string, encoding: Encoding, name: string): string =>
    unitProduct(letter, encoding, place(name));
  const packed = isPacked(inProj, shape.sizes.dimQuads, variants);
  return {
    label: "block",
    groups: HALVES_GROUPS,
    wgsl: /* wgsl */ `${directives({ ...variants, half: undefined, packed })}
@group(0) @binding(0) var<storage, read_write> stream: array<vec4f>; // u (2, dim), parts of u (parts, dim), parts of Δ, B and C
@group(0) @binding(1) var<storage, read_write> xz: array<f32>; // (2, inner)
@group(1) @binding(0) var<storage, read> B: array<vec4u>; // all of the block's weights
@group(1) @binding(1) var<storage, read_write> state: array<f32>; // conv (conv − 1, inner), ssm (inner, state)
@group(1) @binding(2) var<uniform> P: vec4u; // which of u is read; 0 before the first block, where there are no parts
${MATH}${unpackers([inProj, xProj, dtProj, outProj])}${product("X", xProj, block.xProj)}${product("T", dtProj, block.dtProj.weight)}${product("O", outProj, block.outProj.weight)}
fn V(i: u32) -> f32 { return bitcast<f32>(B[${shape.weights.vectors / 16}u + (i >> 2u)][i & 3u]); }
fn V_four(i: u32) -> vec4f { return bitcast<vec4f>(B[${shape.weights.vectors / 16}u + (i >> 2u)]); }
${enterHalf(shape, encodings, variants)}${leaveHalf(shape, encodings)}
@compute @workgroup_size(256)
fn main(
  @builtin(local_invocation_index) lid: u32,
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
) {
  if (workgroups.x > 1u) { enter(lid, wid.x); } else { leave(lid, wid.y); }
}
`,
  };
}
