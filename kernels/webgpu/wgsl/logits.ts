import type { Encoding } from "../../../weights/layout.ts";
import type { KernelSource } from "../pipelines.ts";
import { CHUNKS, declareMatrix, UNITS, unitProduct, unpackers } from "./matrix.ts";

/** Logits that a workgroup computes. */
export const LOGIT_ROWS = 32;

/** One token's logits: W x + b, a workgroup for 32 rows of this part of the head. */
export function logitsSource(encoding: Encoding, dimQuads: number): KernelSource {
  const tiles = dimQuads / 8;
  const x = (c: number): string =>
    `xs[tile * 8u + unit * ${CHUNKS[encoding]}u + ${Math.min(c, CHUNKS[encoding] - 1)}u]`;
  return {
    label: "logits",
    groups: ["rrrwu"],
    wgsl: /* wgsl */ `
struct Sizes { row: u32, tile_rows: u32, first: u32 }
@group(0) @binding(0) var<storage, read> xn: array<vec4f>; // (rows, dim)
${declareMatrix("W", encoding, 1)}
@group(0) @binding(2) var<storage, read> V: array<f32>;
@group(0) @binding(3) var<storage, read_write> logits: array<f32>; // (vocab)
@group(0) @binding(4) var<uniform> P: Sizes;
${unpackers([encoding])}${unitProduct("W", encoding)}
var<workgroup> xs: array<vec4f, ${dimQuads}>;
var<workgroup> red: array<vec4f, 256>;
var<workgroup> tree: array<vec4f, 64>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  for (var v = lid; v < ${dimQuads}u; v += 256u) { xs[v] = xn[P.row * ${dimQuads}u + v]; }
  workgroupBarrier();
  let hf = lid & 1u;
  let slot = (lid >> 1u) & 31u;
  let row = min(wid.x * 4u + (lid >> 6u), P.tile_rows - 1u);
  var acc = vec4f();
  for (var j = slot; j < ${tiles * UNITS[encoding]}u; j += 32u) {
    let tile = j / ${UNITS[encoding]}u;
    let unit = j % ${UNITS[encoding]}u;
    acc += W_unit(row * ${tiles}u + tile, unit, hf, ${x(0)}, ${x(1)});
  }
  red[((lid >> 6u) * 2u + hf) * 32u + slot] = acc;
  workgroupBarrier();
  if (lid < 64u) { tree[lid] = (red[lid * 4u] + red[lid * 4u + 1u]) + (red[lid * 4u + 2u] + red[lid * 4u + 3u]); }
  workgroupBarrier();
  let at = wid.x * 32u + lid;
  if (lid < 32u && at < P.tile_rows * 8u) {
    var sum = V[P.first + at];
    for (var i = 0u; i < 8u; i++) { sum += tree[(lid >> 2u) * 8u + i][lid & 3u]; }
    logits[P.first + at] = sum;
  }
}
`,
  };
}
