import type { Encoding } from "../../../weights/layout.ts";
import type { KernelSource } from "../pipelines.ts";
import { directives, type Variants } from "../variants.ts";
import { CANDIDATE } from "./candidate.ts";
import { declareMatrix, unpackers } from "./matrix.ts";
import { isPacked, rowsProduct } from "./rows.ts";

/** Logits that a workgroup computes. */
export const LOGIT_ROWS = 32;

/**
 * One token's logits: W x + b, a workgroup for 32 rows of this part of the head. It says which of them is the best, so that whoever
 * chooses a token looks at one in 32; of logits that are not all finite, that they are not.
 */
export function logitsSource(encoding: Encoding, dimQuads: number, variants: Variants): KernelSource {
  return {
    label: "logits",
    groups: ["rrrwwu"],
    wgsl: /* wgsl */ `${directives({ ...variants, half: undefined, packed: isPacked(encoding, dimQuads, variants) })}
${CANDIDATE}
struct Sizes { row: u32, tile_rows: u32, first: u32, vocab: u32 }
@group(0) @binding(0) var<storage, read> xn: array<vec4f>; // (rows, dim)
${declareMatrix("W", encoding, 1)}
@group(0) @binding(2) var<storage, read> V: array<f32>;
@group(0) @binding(3) var<storage, read_write> logits: array<f32>; // (vocab)
@group(0) @binding(4) var<storage, read_write> bests: array<Candidate>; // (vocab / ${LOGIT_ROWS})
@group(0) @binding(5) var<uniform> P: Sizes;
${unpackers([encoding])}${rowsProduct(encoding, dimQuads, LOGIT_ROWS, variants)}
var<workgroup> own: array<Candidate, ${LOGIT_ROWS}>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let row = min(tile_row(wid.x, lid), P.tile_rows - 1u);
  let fetched = fetch(lid, row);
  for (var v = lid; v < ${dimQuads}u; v += 256u) { xs[v] = xn[P.row * ${dimQuads}u + v]; }
  workgroupBarrier();
  prepare(lid);
  let sum = sum_rows(lid, accumulate(lid, row, fetched));
  let at = P.first + wid.x * ${LOGIT_ROWS}u + lid;
  if (lid < ${LOGIT_ROWS}u) {
    own[lid] = NONE;
    if (at < P.vocab) {
      let logit = V[at] + sum;
      logits[at] = logit;
      own[lid] = candidate(logit, at);
    }
  }
  workgroupBarrier();
  if (lid < 4u) {
    var b = own[lid * ${LOGIT_ROWS / 4}u];
    for (var i = 1u; i < ${LOGIT_ROWS / 4}u; i++) { b = better_of(own[lid * ${LOGIT_ROWS / 4}u + i], b); }
    own[lid * ${LOGIT_ROWS / 4}u] = b;
  }
  workgroupBarrier();
  if (lid == 0u) {
    bests[(P.first / ${LOGIT_ROWS}u) + wid.x] = better_of(
      better_of(own[0], own[${LOGIT_ROWS / 4}]),
      better_of(own[${LOGIT_ROWS / 2}], own[${(3 * LOGIT_ROWS) / 4}]),
    );
  }
}
`,
  };
}
