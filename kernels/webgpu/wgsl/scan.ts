import type { KernelSource } from "../pipelines.ts";
import { MATH } from "./math.ts";
import { keepWindow } from "./window.ts";

/** Channels that a workgroup takes. */
export const SCAN_CHANNELS = 8;

/** Chunks that a span is cut into: as many as 16 KiB hold a state of. */
export function scanChunks(state: number): number {
  const fits = Math.floor(16384 / (SCAN_CHANNELS * 4 * (state + 1)));
  return Math.max(1, Math.min(16, 2 ** Math.floor(Math.log2(Math.max(1, fits)))));
}

/**
 * The selective scan of a span, its tokens cut into chunks that run side by side, a thread for a chunk of a channel:
 * 1. each chunk from a state of zeros; what the state before it becomes in it is exp(A Σ Δ), so one sum and an end state tell all;
 * 2. each chunk's first state out of those of the chunks before;
 * 3. each chunk again, from its first state: y = (C h + D x) · silu(z).
 * The last chunk's end is the new state; the convolution's window moves on here too, now that nobody reads the old one.
 */
export function scanSource(N: number): KernelSource {
  const chunks = scanChunks(N);
  const threads = chunks * SCAN_CHANNELS;
  const quads = Array.from({ length: Math.ceil(N / 4) }, (_, q) => q);
  const each = (line: (q: number) => string): string => quads.map((q) => `    ${line(q)}`).join("\n");
  // A last quad that is not full has zeros: its state stays zero.
  const elements = (q: number, at: (n: number) => string): string =>
    `vec4f(${[0, 1, 2, 3].map((i) => (4 * q + i < N ? at(4 * q + i) : "0.0")).join(", ")})`;
  const full = (q: number): number[] => [0, 1, 2, 3].filter((i) => 4 * q + i < N);
  const masked = (q: number, value: string): string =>
    full(q).length === 4 ? value : `${value} * vec4f(${[0, 1, 2, 3].map((i) => (4 * q + i < N ? 1 : 0)).join(", ")})`;
  return {
    label: "scan",
    groups: ["rrrrrwu", "w", "u"],
    wgsl: /* wgsl */ `
struct Sizes {
  inner: u32, x_stride: u32, xz_stride: u32, dbc_quads: u32, b: u32, c: u32, A: u32, D: u32, ssm: u32, window: u32, z: u32,
}
@group(0) @binding(0) var<storage, read> dts: array<f32>; // (tokens, inner), before the softplus
@group(0) @binding(1) var<storage, read> xs: array<f32>; // (tokens, inner)
@group(0) @binding(2) var<storage, read> dbc: array<vec4f>; // (tokens, Δ, B, C)
@group(0) @binding(3) var<storage, read> xz: array<f32>; // (tokens, 2 inner)
@group(0) @binding(4) var<storage, read> V: array<f32>;
@group(0) @binding(5) var<storage, read_write> ys: array<f32>; // (tokens, inner)
@group(0) @binding(6) var<uniform> P: Sizes;
@group(1) @binding(0) var<storage, read_write> state: array<f32>; // conv (window, inner), ssm (inner, N)
@group(2) @binding(0) var<uniform> span: vec4u; // first token, tokens
${MATH}
var<workgroup> ends: array<f32, ${threads * N}>;
var<workgroup> sums: array<f32, ${threads}>;

@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let chunk = lid / ${SCAN_CHANNELS}u;
  let lane = lid % ${SCAN_CHANNELS}u;
  let live = wid.x * ${SCAN_CHANNELS}u + lane < P.inner;
  let channel = min(wid.x * ${SCAN_CHANNELS}u + lane, P.inner - 1u);
  let size = (span.y + ${chunks - 1}u) / ${chunks}u;
  let begin = span.x + min(chunk * size, span.y);
  let end = span.x + min((chunk + 1u) * size, span.y);
  let a = P.A + channel * ${N}u;
  let own = P.ssm + channel * ${N}u;
${each((q) => `let A${q} = ${elements(q, (n) => `V[a + ${n}u]`)};`)}
${each((q) => `var h${q} = vec4f();`)}
  var sum = 0.0;
  for (var t = begin; t < end; t++) {
    let dt = softplus(dts[t * P.x_stride + channel]);
    let dx = dt * xs[t * P.x_stride + channel];
    let row = t * P.dbc_quads;
    sum += dt;
${each((q) => `h${q} = exp(dt * A${q}) * h${q} + dx * dbc[row + P.b + ${q}u];`)}
  }
  sums[lid] = sum;
${quads.flatMap((q) => full(q).map((i) => `  ends[lid * ${N}u + ${4 * q + i}u] = h${q}[${i}];`)).join("\n")}
  workgroupBarrier();
${each((q) => `h${q} = ${elements(q, (n) => `state[own + ${n}u]`)};`)}
  for (var j = lane; j < lid; j += ${SCAN_CHANNELS}u) {
    let s = sums[j];
    let e = j * ${N}u;
${each((q) => `h${q} = exp(s * A${q}) * h${q} + ${elements(q, (n) => `ends[e + ${n}u]`)};`)}
  }
  workgroupBarrier();
  let skip = V[P.D + channel];
  for (var t = begin; t < end; t++) {
    let dt = softplus(dts[t * P.x_stride + channel]);
    let x = xs[t * P.x_stride + channel];
    let dx = dt * x;
    let row = t * P.dbc_quads;
    var y = skip * x;
${each((q) => `h${q} = exp(dt * A${q}) * h${q} + dx * dbc[row + P.b + ${q}u];`)}
${each((q) => `y += dot(h${q}, ${masked(q, `dbc[row + P.c + ${q}u]`)});`)}
    if (live) { ys[t * P.x_stride + channel] = y * silu(xz[t * P.xz_stride + P.z + channel]); }
  }
  if (!live) { return; }
  if (chunk == ${chunks - 1}u) {
${quads.flatMap((q) => full(q).map((i) => `    state[own + ${4 * q + i}u] = h${q}[${i}];`)).join("\n")}
  }
  if (chunk == 0u) {${keepWindow("xz[position * P.xz_stride + channel]")}
  }
}
`,
  };
}
