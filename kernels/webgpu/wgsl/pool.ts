import type { KernelSource } from "../pipelines.ts";

/** Channels that a workgroup takes, with as many threads each. */
export const POOL_CHANNELS = 16;

/** The mean over all positions. */
export const POOL: KernelSource = {
  label: "pool",
  groups: ["rwu"],
  wgsl: /* wgsl */ `
struct Sizes { positions: u32, dim: u32, stride: u32 }
@group(0) @binding(0) var<storage, read> u: array<f32>; // (positions, dim)
@group(0) @binding(1) var<storage, read_write> O: array<f32>; // (dim)
@group(0) @binding(2) var<uniform> P: Sizes;
var<workgroup> sums: array<f32, ${POOL_CHANNELS ** 2}>;
@compute @workgroup_size(${POOL_CHANNELS ** 2})
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let channel = wid.x * ${POOL_CHANNELS}u + lid % ${POOL_CHANNELS}u;
  var sum = 0.0;
  if (channel < P.dim) {
    for (var p = lid / ${POOL_CHANNELS}u; p < P.positions; p += ${POOL_CHANNELS}u) { sum += u[p * P.stride + channel]; }
  }
  sums[lid] = sum;
  workgroupBarrier();
  if (lid >= ${POOL_CHANNELS}u || channel >= P.dim) { return; }
  for (var i = 1u; i < ${POOL_CHANNELS}u; i++) { sum += sums[i * ${POOL_CHANNELS}u + lid]; }
  O[channel] = sum / f32(P.positions);
}
`,
};
