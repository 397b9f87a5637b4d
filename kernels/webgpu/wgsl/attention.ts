import type { KernelSource } from "../pipelines.ts";

/** Widest head whose query and sums fit a workgroup's memory. */
export const WIDEST_HEAD = 1024;
/** Threads, and positions that are looked at together. */
const BLOCK = 64;

/**
 * y = softmax(q kᵀ / √c) v of a span's positions and heads of width c, a workgroup each (Vaswani et al. 2017). Keys and values of earlier
 * spans are the state's, those of this one are beside the query, and each workgroup puts its own into the state. Positions are taken 64
 * at a time; the largest score so far scales what was summed before (Milakov & Gimelshein 2018).
 */
export function attentionSource(width: number): KernelSource {
  const lanes = Math.min(width, BLOCK);
  const sets = Math.floor(BLOCK / lanes);
  return {
    label: `attention ${width}`,
    groups: ["rwu", "w", "u"],
    wgsl: /* wgsl */ `
struct Sizes { dim: u32, qkv_stride: u32, y_stride: u32 }
@group(0) @binding(0) var<storage, read> qkv: array<f32>; // (tokens, q k v)
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // (tokens, dim)
@group(0) @binding(2) var<uniform> P: Sizes;
@group(1) @binding(0) var<storage, read_write> kv: array<f32>; // (positions, k v)
@group(2) @binding(0) var<uniform> span: vec4u; // first token, tokens, positions before it
var<workgroup> q: array<f32, ${width}>;
var<workgroup> p: array<f32, ${BLOCK}>;
var<workgroup> sums: array<f32, ${sets * width}>;

// c of a position's key, or where behind is dim its value.
fn past(position: u32, c: u32, behind: u32) -> f32 {
  if (position < span.z) { return kv[position * 2u * P.dim + behind + c]; }
  return qkv[(span.x + position - span.z) * P.qkv_stride + P.dim + behind + c];
}

@compute @workgroup_size(${BLOCK})
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let first = wid.x * ${width}u;
  let own = (span.x + wid.y) * P.qkv_stride + first;
  let place = (span.z + wid.y) * 2u * P.dim + first;
  for (var c = lid; c < ${width}u; c += ${BLOCK}u) {
    q[c] = qkv[own + c] * ${1 / Math.sqrt(width)};
    kv[place + c] = qkv[own + P.dim + c];
    kv[place + P.dim + c] = qkv[own + 2u * P.dim + c];
  }
  for (var i = lid; i < ${sets * width}u; i += ${BLOCK}u) { sums[i] = 0.0; }
  let positions = span.z + wid.y + 1u;
  var top = -3.0e38;
  var weight = 0.0;
  for (var base = 0u; base < positions; base += ${BLOCK}u) {
    workgroupBarrier();
    let count = min(${BLOCK}u, positions - base);
    var score = -3.0e38;
    if (lid < count) {
      score = 0.0;
      for (var c = 0u; c < ${width}u; c++) { score += q[c] * past(base + lid, first + c, 0u); }
    }
    p[lid] = score;
    workgroupBarrier();
    var most = top;
    for (var i = 0u; i < count; i++) { most = max(most, p[i]); }
    workgroupBarrier();
    p[lid] = select(0.0, exp(score - most), lid < count);
    workgroupBarrier();
    let shrink = exp(top - most);
    top = most;
    weight *= shrink;
    for (var i = 0u; i < count; i++) { weight += p[i]; }
    let part = lid / ${lanes}u;
    if (part < ${sets}u) {
      for (var c = lid % ${lanes}u; c < ${width}u; c += ${lanes}u) {
        var sum = sums[part * ${width}u + c] * shrink;
        for (var i = part; i < count; i += ${sets}u) { sum += p[i] * past(base + i, first + c, P.dim); }
        sums[part * ${width}u + c] = sum;
      }
    }
  }
  workgroupBarrier();
  for (var c = lid; c < ${width}u; c += ${BLOCK}u) {
    var sum = 0.0;
    for (var part = 0u; part < ${sets}u; part++) { sum += sums[part * ${width}u + c]; }
    y[(span.x + wid.y) * P.y_stride + first + c] = sum / weight;
  }
}
`,
  };
}
