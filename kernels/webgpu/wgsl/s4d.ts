import type { KernelSource } from "../pipelines.ts";
import { GELU, NONE } from "./math.ts";
import { keepWindow } from "./window.ts";

/** f32s of a workgroup's memory that the terms of some tokens may take. */
const TERMS = 2048;
const THREADS = 64;
/** Most complex states of a channel. */
export const MOST_S4D_STATE = 1024;

/**
 * S4D (Gu et al. 2022) of a span, a workgroup a channel: h ← decay · h + x, y = Re(Σ C h) + D x. A thread has a complex state and leaves
 * its term of y for a few tokens at a time; then a thread has a token and sums them. y becomes gelu(y), or y · z where there is a gate.
 * Where a convolution stands before it, its window moves on here.
 */
export function s4dSource(N: number): KernelSource {
  const tokens = Math.max(1, Math.min(THREADS, Math.floor(TERMS / N)));
  return {
    label: `s4d ${N}`,
    groups: ["rrrwu", "w", "u"],
    wgsl: /* wgsl */ `
struct Sizes {
  x_stride: u32, z_stride: u32, y_stride: u32, z: u32, decay: u32, C: u32, D: u32, ssm: u32, window: u32, inner: u32,
}
@group(0) @binding(0) var<storage, read> xs: array<f32>; // (tokens, channels)
@group(0) @binding(1) var<storage, read> xz: array<f32>; // (tokens, channels before the convolution, gate)
@group(0) @binding(2) var<storage, read> V: array<f32>;
@group(0) @binding(3) var<storage, read_write> ys: array<f32>; // (tokens, channels)
@group(0) @binding(4) var<uniform> P: Sizes;
@group(1) @binding(0) var<storage, read_write> state: array<f32>; // conv (window, inner), ssm (channels, N, 2)
@group(2) @binding(0) var<uniform> span: vec4u; // first token, tokens
${GELU}
var<workgroup> h: array<vec2f, ${N}>;
var<workgroup> terms: array<f32, ${tokens * N}>;

@compute @workgroup_size(${THREADS})
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let channel = wid.x;
  let own = channel * ${2 * N}u;
  for (var n = lid; n < ${N}u; n += ${THREADS}u) {
    h[n] = vec2f(state[P.ssm + own + 2u * n], state[P.ssm + own + 2u * n + 1u]);
  }
  let skip = V[P.D + channel];
  for (var base = 0u; base < span.y; base += ${tokens}u) {
    let count = min(${tokens}u, span.y - base);
    let row = (span.x + base) * P.x_stride + channel;
    for (var n = lid; n < ${N}u; n += ${THREADS}u) {
      let a = vec2f(V[P.decay + own + 2u * n], V[P.decay + own + 2u * n + 1u]);
      let c = vec2f(V[P.C + own + 2u * n], V[P.C + own + 2u * n + 1u]);
      var v = h[n];
      for (var t = 0u; t < count; t++) {
        v = vec2f(a.x * v.x - a.y * v.y + xs[row + t * P.x_stride], a.x * v.y + a.y * v.x);
        terms[t * ${N}u + n] = c.x * v.x - c.y * v.y;
      }
      h[n] = v;
    }
    workgroupBarrier();
    for (var t = lid; t < count; t += ${THREADS}u) {
      let token = span.x + base + t;
      var y = skip * xs[row + t * P.x_stride];
      for (var n = 0u; n < ${N}u; n++) { y += terms[t * ${N}u + n]; }
      if (P.z == ${NONE}u) { y = gelu(y); } else { y *= xz[token * P.z_stride + P.z + channel]; }
      ys[token * P.y_stride + channel] = y;
    }
    workgroupBarrier();
  }
  for (var n = lid; n < ${N}u; n += ${THREADS}u) {
    state[P.ssm + own + 2u * n] = h[n].x;
    state[P.ssm + own + 2u * n + 1u] = h[n].y;
  }
  if (lid == 0u) {${keepWindow("xz[position * P.z_stride + channel]")}
  }
}
`,
  };
}
