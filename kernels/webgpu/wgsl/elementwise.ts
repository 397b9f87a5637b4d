import type { KernelSource } from "../pipelines.ts";

/** Threads of a workgroup, a channel each. */
export const CHANNELS = 64;

/** u += a · σ(b), the rows of ab being a, then b (Dauphin et al. 2017). */
export const GATED_ADD: KernelSource = {
  label: "gated add",
  groups: ["rwu"],
  wgsl: /* wgsl */ `
struct Sizes { dim: u32, ab_stride: u32, u_stride: u32 }
@group(0) @binding(0) var<storage, read> ab: array<f32>; // (tokens, 2 dim)
@group(0) @binding(1) var<storage, read_write> u: array<f32>; // (tokens, dim)
@group(0) @binding(2) var<uniform> P: Sizes;
@compute @workgroup_size(${CHANNELS})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= P.dim) { return; }
  let at = id.y * P.ab_stride + id.x;
  u[id.y * P.u_stride + id.x] += ab[at] / (1.0 + exp(min(-ab[at + P.dim], 80.0)));
}
`,
};

/** u += E[p], p the position since the sequence began. */
export const POSITIONS: KernelSource = {
  label: "positions",
  groups: ["rwu", "u"],
  wgsl: /* wgsl */ `
struct Sizes { dim: u32, u_stride: u32, table: u32 }
@group(0) @binding(0) var<storage, read> V: array<f32>;
@group(0) @binding(1) var<storage, read_write> u: array<f32>; // (tokens, dim)
@group(0) @binding(2) var<uniform> P: Sizes;
@group(1) @binding(0) var<uniform> span: vec4u; // first token, tokens, positions before it
@compute @workgroup_size(${CHANNELS})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= P.dim) { return; }
  u[(span.x + id.y) * P.u_stride + id.x] += V[P.table + (span.z + id.y) * P.dim + id.x];
}
`,
};

/** O = the rows of X that are named. */
export const PICK: KernelSource = {
  label: "pick",
  groups: ["rrwu"],
  wgsl: /* wgsl */ `
struct Sizes { width: u32, x_stride: u32, o_stride: u32 }
@group(0) @binding(0) var<storage, read> X: array<f32>; // (tokens, width)
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read_write> O: array<f32>; // (rows, width)
@group(0) @binding(3) var<uniform> P: Sizes;
@compute @workgroup_size(${CHANNELS})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= P.width) { return; }
  O[id.y * P.o_stride + id.x] = X[rows[id.y] * P.x_stride + id.x];
}
`,
};
