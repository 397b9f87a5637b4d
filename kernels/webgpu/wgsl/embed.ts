import type { Encoding } from "../../../weights/layout.ts";
import type { KernelSource } from "../pipelines.ts";
import { blockValues, declareMatrix, unpackers } from "./matrix.ts";

/**
 * u = E[token], a workgroup a token, for the tokens whose rows lie in this part of the table.
 */
export function embedSource(encoding: Encoding): KernelSource {
  return {
    label: `embed ${encoding}`,
    groups: ["rrwu"],
    wgsl: /* wgsl */ `
struct Sizes { first: u32, rows: u32, tiles: u32, quads: u32 }
@group(0) @binding(0) var<storage, read> tokens: array<u32>;
${declareMatrix("E", encoding, 1)}
@group(0) @binding(2) var<storage, read_write> u: array<vec4f>; // (tokens, dim)
@group(0) @binding(3) var<uniform> P: Sizes;
${unpackers([encoding])}${blockValues("E", encoding)}
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let row = tokens[wid.x] - P.first;
  let inside = tokens[wid.x] >= P.first && row < P.rows;
  if (!inside) { return; }
  for (var v = lid; v < P.quads; v += 64u) {
    let m = E_block((row >> 3u) * P.tiles + (v >> 3u), v & 7u, (row >> 2u) & 1u);
    let c = row & 3u;
    u[wid.x * P.quads + v] = vec4f(m[0][c], m[1][c], m[2][c], m[3][c]);
  }
}
`,
  };
}
