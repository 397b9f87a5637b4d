import type { KernelSource } from "../pipelines.ts";
import { MATH, NONE, REDUCE } from "./math.ts";

/** x = norm(D x + Σ of the four scans) [· silu(z)], a workgroup a position: SS2D's cross-merge and what stands between it and outProj. */
export const MERGE: KernelSource = {
  label: "merge",
  groups: ["wrrru"],
  wgsl: /* wgsl */ `
struct Sizes {
  positions: u32, inner: u32, stride: u32, xz_stride: u32, z: u32, D: u32, weight: u32, bias: u32, eps: f32,
}
@group(0) @binding(0) var<storage, read_write> x: array<f32>; // (positions, inner)
@group(0) @binding(1) var<storage, read> ys: array<f32>; // (scans, positions, inner)
@group(0) @binding(2) var<storage, read> xz: array<f32>; // (positions, x, z)
@group(0) @binding(3) var<storage, read> V: array<f32>;
@group(0) @binding(4) var<uniform> P: Sizes;
${MATH}${REDUCE}
@compute @workgroup_size(64)
fn main(
  @builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) groups: vec3u,
) {
  let position = wid.y * groups.x + wid.x;
  if (position >= P.positions) { return; }
  let row = position * P.stride;
  let scan = P.positions * P.stride;
  var sum = 0.0;
  for (var c = lid; c < P.inner; c += 64u) {
    let i = row + c;
    let y = V[P.D + c] * x[i] + ((ys[i] + ys[i + scan]) + (ys[i + 2u * scan] + ys[i + 3u * scan]));
    x[i] = y;
    sum += y;
  }
  let layer = P.bias != ${NONE}u;
  let mean = select(0.0, total(lid, sum) / f32(P.inner), layer);
  var squares = 0.0;
  for (var c = lid; c < P.inner; c += 64u) {
    let d = x[row + c] - mean;
    squares += d * d;
  }
  let scale = inverseSqrt(total(lid, squares) / f32(P.inner) + P.eps);
  for (var c = lid; c < P.inner; c += 64u) {
    var v = (x[row + c] - mean) * scale * V[P.weight + c];
    if (layer) { v += V[P.bias + c]; }
    if (P.z != ${NONE}u) { v *= silu(xz[position * P.xz_stride + P.z + c]); }
    x[row + c] = v;
  }
}
`,
};

/** The root mean square over the channels of each scan at each position, a workgroup a row. */
export const RESPONSES: KernelSource = {
  label: "responses",
  groups: ["rwu"],
  wgsl: /* wgsl */ `
struct Sizes { rows: u32, inner: u32, stride: u32 }
@group(0) @binding(0) var<storage, read> ys: array<f32>; // (scans · positions, inner)
@group(0) @binding(1) var<storage, read_write> O: array<f32>; // (scans · positions)
@group(0) @binding(2) var<uniform> P: Sizes;
${REDUCE}
@compute @workgroup_size(64)
fn main(
  @builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) groups: vec3u,
) {
  let row = wid.y * groups.x + wid.x;
  if (row >= P.rows) { return; }
  var squares = 0.0;
  for (var c = lid; c < P.inner; c += 64u) {
    let y = ys[row * P.stride + c];
    squares += y * y;
  }
  let sum = total(lid, squares);
  if (lid == 0u) { O[row] = sqrt(sum / f32(P.inner)); }
}
`,
};
