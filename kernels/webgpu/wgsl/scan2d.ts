import type { KernelSource } from "../pipelines.ts";
import { MATH, NONE } from "./math.ts";

/** Channels that a workgroup takes. */
export const SCAN2D_CHANNELS = 8;
const MOST_CHUNKS = 32;

/** Chunks that an image is cut into: as many as 16 KiB hold a state of. */
function chunksOf(state: number): number {
  const fits = Math.floor(16384 / (SCAN2D_CHANNELS * 4 * (state + 1)));
  return Math.max(1, Math.min(MOST_CHUNKS, 2 ** Math.floor(Math.log2(Math.max(1, fits)))));
}

/**
 * The four scans of SS2D (Liu et al. 2024), `wid.y` says which: 0 row by row, 1 column by column, 2 and 3 the same from the end. Each reads
 * the one image in its own order, and leaves C h of every position there, so nothing is copied into that order. The order is cut into
 * chunks that run side by side, a thread for a chunk of a channel, as in scan.ts; Δ, once computed, waits where C h will be.
 */
export function scan2dSource(N: number): KernelSource {
  const chunks = chunksOf(N);
  const threads = chunks * SCAN2D_CHANNELS;
  const quads = Array.from({ length: Math.ceil(N / 4) }, (_, q) => q);
  const each = (line: (q: number) => string): string => quads.map((q) => `    ${line(q)}`).join("\n");
  // A last quad that is not full has zeros: its state stays zero.
  const elements = (q: number, at: (n: number) => string): string =>
    `vec4f(${[0, 1, 2, 3].map((i) => (4 * q + i < N ? at(4 * q + i) : "0.0")).join(", ")})`;
  const full = (q: number): number[] => [0, 1, 2, 3].filter((i) => 4 * q + i < N);
  const step = (q: number): string => `h${q} = exp(dt * A${q}) * h${q} + dx * ${elements(q, (n) => `own[b + ${n}u]`)};`;
  return {
    label: `scan2d ${N}`,
    groups: ["rrrwu"],
    wgsl: /* wgsl */ `
struct Sizes {
  height: u32, width: u32, inner: u32, stride: u32, own_stride: u32, rank: u32, weight: vec4u, bias: vec4u, A: vec4u,
}
@group(0) @binding(0) var<storage, read> xs: array<f32>; // (positions, inner)
@group(0) @binding(1) var<storage, read> own: array<f32>; // (positions, scans, Δ B C)
@group(0) @binding(2) var<storage, read> V: array<f32>;
@group(0) @binding(3) var<storage, read_write> ys: array<f32>; // (scans, positions, inner)
@group(0) @binding(4) var<uniform> P: Sizes;
${MATH}
var<workgroup> ends: array<f32, ${threads * N}>;
var<workgroup> sums: array<f32, ${threads}>;

fn position(i: u32, scan: u32) -> u32 {
  let j = select(i, P.height * P.width - 1u - i, scan >= 2u);
  return select(j, (j % P.height) * P.width + j / P.height, (scan & 1u) == 1u);
}

@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let scan = wid.y;
  let chunk = lid / ${SCAN2D_CHANNELS}u;
  let lane = lid % ${SCAN2D_CHANNELS}u;
  let live = wid.x * ${SCAN2D_CHANNELS}u + lane < P.inner;
  let channel = min(wid.x * ${SCAN2D_CHANNELS}u + lane, P.inner - 1u);
  let positions = P.height * P.width;
  let size = (positions + ${chunks - 1}u) / ${chunks}u;
  let begin = min(chunk * size, positions);
  let end = min((chunk + 1u) * size, positions);
  let a = P.A[scan] + channel * ${N}u;
  let weight = P.weight[scan] + channel * P.rank;
  let first = scan * (P.rank + ${2 * N}u);
  let base = scan * positions * P.stride + channel;
${each((q) => `let A${q} = ${elements(q, (n) => `V[a + ${n}u]`)};`)}
${each((q) => `var h${q} = vec4f();`)}
  var bias = 0.0;
  if (P.bias[scan] != ${NONE}u) { bias = V[P.bias[scan] + channel]; }
  var sum = 0.0;
  for (var i = begin; i < end; i++) {
    let p = position(i, scan);
    let row = p * P.own_stride + first;
    var d = bias;
    for (var r = 0u; r < P.rank; r++) { d += V[weight + r] * own[row + r]; }
    let dt = softplus(d);
    let dx = dt * xs[p * P.stride + channel];
    let b = row + P.rank;
    sum += dt;
    if (live) { ys[base + p * P.stride] = dt; }
${each(step)}
  }
  sums[lid] = sum;
${quads.flatMap((q) => full(q).map((i) => `  ends[lid * ${N}u + ${4 * q + i}u] = h${q}[${i}];`)).join("\n")}
  workgroupBarrier();
${each((q) => `h${q} = vec4f();`)}
  for (var j = lane; j < lid; j += ${SCAN2D_CHANNELS}u) {
    let s = sums[j];
    let e = j * ${N}u;
${each((q) => `h${q} = exp(s * A${q}) * h${q} + ${elements(q, (n) => `ends[e + ${n}u]`)};`)}
  }
  if (!live) { return; }
  for (var i = begin; i < end; i++) {
    let p = position(i, scan);
    let b = p * P.own_stride + first + P.rank;
    let c = b + ${N}u;
    let dt = ys[base + p * P.stride];
    let dx = dt * xs[p * P.stride + channel];
    var y = 0.0;
${each(step)}
${each((q) => `y += dot(h${q}, ${elements(q, (n) => `own[c + ${n}u]`)});`)}
    ys[base + p * P.stride] = y;
  }
}
`,
  };
}
