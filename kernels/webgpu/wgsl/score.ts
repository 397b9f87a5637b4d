import type { KernelSource } from "../pipelines.ts";

/** log p(wanted) = logit − max − log Σ e^(logit − max), a workgroup a position. */
export const SCORE: KernelSource = {
  label: "score",
  groups: ["rrwu"],
  wgsl: /* wgsl */ `
struct Sizes { vocab: u32, stride: u32, first: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>; // (positions of a block, vocab)
@group(0) @binding(1) var<storage, read> wanted: array<u32>; // (positions)
@group(0) @binding(2) var<storage, read_write> scores: array<f32>; // (positions)
@group(0) @binding(3) var<uniform> P: Sizes;
var<workgroup> red: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let row = wid.x * P.stride;
  var m = -3.0e38;
  for (var i = lid; i < P.vocab; i += 256u) { m = max(m, logits[row + i]); }
  red[lid] = m;
  workgroupBarrier();
  for (var s = 128u; s > 0u; s >>= 1u) {
    if (lid < s) { red[lid] = max(red[lid], red[lid + s]); }
    workgroupBarrier();
  }
  let top = red[0];
  workgroupBarrier();
  var total = 0.0;
  for (var i = lid; i < P.vocab; i += 256u) { total += exp(logits[row + i] - top); }
  red[lid] = total;
  workgroupBarrier();
  for (var s = 128u; s > 0u; s >>= 1u) {
    if (lid < s) { red[lid] += red[lid + s]; }
    workgroupBarrier();
  }
  if (lid == 0u) { scores[P.first + wid.x] = logits[row + wanted[P.first + wid.x]] - top - log(red[0]); }
}
`,
};
