import type { KernelSource } from "../pipelines.ts";
import { CHANNELS } from "./elementwise.ts";
import { MATH, NONE } from "./math.ts";

/** x = silu of the depthwise 3 × 3 convolution, a thread a channel and position. Zeros lie around the image. */
export const DEPTHWISE: KernelSource = {
  label: "depthwise",
  groups: ["rrwu"],
  wgsl: /* wgsl */ `
struct Sizes { height: u32, width: u32, inner: u32, xz_stride: u32, x_stride: u32, weight: u32, bias: u32 }
@group(0) @binding(0) var<storage, read> xz: array<f32>; // (positions, x, z)
@group(0) @binding(1) var<storage, read> V: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>; // (positions, inner)
@group(0) @binding(3) var<uniform> P: Sizes;
${MATH}
@compute @workgroup_size(${CHANNELS})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let channel = id.x;
  if (channel >= P.inner) { return; }
  var sum = 0.0;
  if (P.bias != ${NONE}u) { sum = V[P.bias + channel]; }
  for (var tap = 0u; tap < 9u; tap++) {
    let row = id.z + tap / 3u - 1u;
    let column = id.y + tap % 3u - 1u;
    if (row < P.height && column < P.width) {
      sum += V[P.weight + channel * 9u + tap] * xz[(row * P.width + column) * P.xz_stride + channel];
    }
  }
  x[(id.z * P.width + id.y) * P.x_stride + channel] = silu(sum);
}
`,
};
