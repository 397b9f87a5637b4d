import type { KernelSource } from "../pipelines.ts";
import { GELU, NONE, REDUCE } from "./math.ts";

/** O = norm(X) [, then gelu], a workgroup a row. With a bias it is the layer norm, without one the RMS norm. */
export const NORM: KernelSource = {
  label: "norm",
  groups: ["rrwu"],
  wgsl: /* wgsl */ `
struct Sizes { rows: u32, width: u32, x_stride: u32, o_stride: u32, weight: u32, bias: u32, eps: f32, gelu: u32 }
@group(0) @binding(0) var<storage, read> X: array<f32>; // (rows, width)
@group(0) @binding(1) var<storage, read> V: array<f32>;
@group(0) @binding(2) var<storage, read_write> O: array<f32>; // (rows, width)
@group(0) @binding(3) var<uniform> P: Sizes;
${GELU}${REDUCE}
@compute @workgroup_size(64)
fn main(
  @builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) groups: vec3u,
) {
  let row = wid.y * groups.x + wid.x;
  if (row >= P.rows) { return; }
  let x = row * P.x_stride;
  let layer = P.bias != ${NONE}u;
  var mean = 0.0;
  if (layer) {
    var sum = 0.0;
    for (var c = lid; c < P.width; c += 64u) { sum += X[x + c]; }
    mean = total(lid, sum) / f32(P.width);
  }
  var squares = 0.0;
  for (var c = lid; c < P.width; c += 64u) {
    let d = X[x + c] - mean;
    squares += d * d;
  }
  let scale = inverseSqrt(total(lid, squares) / f32(P.width) + P.eps);
  for (var c = lid; c < P.width; c += 64u) {
    var v = (X[x + c] - mean) * scale * V[P.weight + c];
    if (layer) { v += V[P.bias + c]; }
    if (P.gelu == 1u) { v = gelu(v); }
    O[row * P.o_stride + c] = v;
  }
}
`,
};
