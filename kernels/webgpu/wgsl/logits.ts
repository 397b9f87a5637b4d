import type { Encoding } from "../../../weights/layout.ts";
import type { KernelSource } from "../pipelines.ts";
import { directives, type Variants } from "../variants.ts";
import { declareMatrix, unpackers } from "./matrix.ts";
import { isPacked, rowsProduct } from "./rows.ts";

/** Logits that a workgroup computes. */
export const LOGIT_ROWS = 32;

/** One token's logits: W x + b, a workgroup for 32 rows of this part of the head. */
export function logitsSource(encoding: Encoding, dimQuads: number, variants: Variants): KernelSource {
  return {
    label: "logits",
    groups: ["rrrwu"],
    wgsl: /* wgsl */ `${directives({ ...variants, half: undefined, packed: isPacked(encoding, dimQuads, variants) })}
struct Sizes { row: u32, tile_rows: u32, first: u32 }
@group(0) @binding(0) var<storage, read> xn: array<vec4f>; // (rows, dim)
${declareMatrix("W", encoding, 1)}
@group(0) @binding(2) var<storage, read> V: array<f32>;
@group(0) @binding(3) var<storage, read_write> logits: array<f32>; // (vocab)
@group(0) @binding(4) var<uniform> P: Sizes;
${unpackers([encoding])}${rowsProduct(encoding, dimQuads, LOGIT_ROWS, variants)}
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let row = min(tile_row(wid.x, lid), P.tile_rows - 1u);
  let fetched = fetch(lid, row);
  for (var v = lid; v < ${dimQuads}u; v += 256u) { xs[v] = xn[P.row * ${dimQuads}u + v]; }
  workgroupBarrier();
  prepare(lid);
  let sum = sum_rows(lid, accumulate(lid, row, fetched));
  let at = wid.x * ${LOGIT_ROWS}u + lid;
  if (lid < ${LOGIT_ROWS}u && at < P.tile_rows * 8u) { logits[P.first + at] = V[P.first + at] + sum; }
}
`,
  };
}
