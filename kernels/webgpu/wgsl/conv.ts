import type { KernelSource } from "../pipelines.ts";
import { MATH } from "./math.ts";

/** x = silu(conv(x)) of a span's tokens: a thread a channel and token. The window before the span's first token is the state's. */
export const CONV: KernelSource = {
  label: "conv",
  groups: ["rrwu", "w", "u"],
  wgsl: /* wgsl */ `
struct Sizes { inner: u32, width: u32, xz_stride: u32, x_stride: u32, weight: u32, bias: u32 }
@group(0) @binding(0) var<storage, read> xz: array<f32>; // (tokens, 2 inner)
@group(0) @binding(1) var<storage, read> V: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>; // (tokens, inner)
@group(0) @binding(3) var<uniform> P: Sizes;
@group(1) @binding(0) var<storage, read_write> state: array<f32>; // conv (width − 1, inner), ssm
@group(2) @binding(0) var<uniform> span: vec4u; // first token, tokens
${MATH}
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let channel = id.x;
  if (channel >= P.inner) { return; }
  var s = V[P.bias + channel];
  for (var k = 0u; k < P.width; k++) {
    let back = P.width - 1u - k;
    var value = 0.0;
    if (id.y >= back) {
      value = xz[(span.x + id.y - back) * P.xz_stride + channel];
    } else {
      value = state[(id.y + k) * P.inner + channel];
    }
    s += V[P.weight + channel * P.width + k] * value;
  }
  x[(span.x + id.y) * P.x_stride + channel] = silu(s);
}
`,
};
