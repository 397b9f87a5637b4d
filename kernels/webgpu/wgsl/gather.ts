import type { KernelSource } from "../pipelines.ts";

/** Sums the slices of x_proj's outcome and sets Δ, B and C apart, each from a multiple of 4 on: a thread a value. */
export const GATHER: KernelSource = {
  label: "gather",
  groups: ["rwu"],
  wgsl: /* wgsl */ `
struct Sizes { dt_rank: u32, state: u32, stride: u32, slice: u32, slices: u32, b: u32, c: u32, dbc_stride: u32 }
@group(0) @binding(0) var<storage, read> parts: array<f32>; // (slices, tokens, dtRank + 2 state)
@group(0) @binding(1) var<storage, read_write> dbc: array<f32>; // (tokens, Δ, B, C)
@group(0) @binding(2) var<uniform> P: Sizes;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= P.dt_rank + 2u * P.state) { return; }
  var s = 0.0;
  for (var i = 0u; i < P.slices; i++) { s += parts[i * P.slice + id.y * P.stride + row]; }
  var at = row;
  if (row >= P.dt_rank) { at = P.b + row - P.dt_rank; }
  if (row >= P.dt_rank + P.state) { at = P.c + row - P.dt_rank - P.state; }
  dbc[id.y * P.dbc_stride + at] = s;
}
`,
};
