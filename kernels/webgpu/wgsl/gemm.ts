import type { Encoding } from "../../../weights/layout.ts";
import type { KernelSource } from "../pipelines.ts";
import { BASELINE, directives, type Variants } from "../variants.ts";
import { blockValues, declareMatrix, unpackers } from "./matrix.ts";

/** Tokens, and rows of the matrix, that a workgroup takes. */
export const GEMM_TILE = 64;

/** Outputs a thread keeps in registers: rows of tokens, and quads of the matrix's rows. */
export interface GemmShape {
  readonly tokens: 4 | 8;
  readonly quads: 1 | 2;
}

/**
 * O = A Wᵀ + bias for many tokens. A workgroup keeps 64 × 64 outputs in registers and takes 32 columns at a time, transposed into
 * workgroup memory (all 16 KiB of it), while the next ones are on their way. `wid.z` cuts the columns into slices, each with an outcome of
 * its own, where rows and tokens alone are too few workgroups; whoever reads the outcome sums the slices.
 *
 * With `half` the tiles lie in workgroup memory in that type, and so are the products of 32 columns summed, before they go to f32.
 */
export function gemmSource(encoding: Encoding, shape: GemmShape, half: Variants["half"]): KernelSource {
  const rows = shape.tokens;
  const threads = 1024 / (rows * shape.quads);
  const quadsWide = 16 / shape.quads;
  // 128 blocks of 4 × 4 of A, then as many of W.
  const loads = Array.from({ length: 256 / threads }, (_, i) => i);
  const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
  const block = (i: number): string => `(lid + ${i * threads}u)`;
  const ofA = (i: number): string => (threads === 256 ? "lid < 128u" : String(i * threads < 128));
  const tile = (i: number): string => `(${block(i)} & 127u)`;
  // Sums of a turn's columns: in registers of their own where they are of another type.
  const sum = half === undefined ? "c" : "h";
  const stored = (value: string): string =>
    half === undefined ? value : `vec4<half>(clamp(${value}, vec4f(-65504.0), vec4f(65504.0)))`;
  const outputs = range(rows).flatMap((r) => range(shape.quads).map((q) => `${r}_${q}`));
  return {
    label: `gemm ${encoding}`,
    groups: ["rrrwu"],
    wgsl: /* wgsl */ `${directives({ ...BASELINE, half })}alias half = ${half ?? "f32"};
struct Sizes {
  tiles: u32, slice: u32, tile_rows: u32, a_stride: u32, o_stride: u32, o_slice: u32, o_first: u32, bias: u32, a_first: u32,
}
@group(0) @binding(0) var<storage, read> A: array<vec4f>; // (tokens, columns)
${declareMatrix("W", encoding, 1)}
@group(0) @binding(2) var<storage, read> V: array<f32>;
@group(0) @binding(3) var<storage, read_write> O: array<vec4f>; // (slices, tokens, rows)
@group(0) @binding(4) var<uniform> P: Sizes;
${unpackers([encoding])}${blockValues("W", encoding)}
var<workgroup> a_tile: array<vec4<half>, 512>; // (32 columns, 64 tokens)
var<workgroup> w_tile: array<vec4<half>, 512>; // (32 columns, 64 rows)

fn a_block(first: u32, t: u32, i: u32) -> mat4x4f {
  let at = P.a_first + (first + (i & 15u) * 4u) * P.a_stride + t * 8u + (i >> 4u);
  return transpose(mat4x4f(A[at], A[at + P.a_stride], A[at + 2u * P.a_stride], A[at + 3u * P.a_stride]));
}

fn w_block(first: u32, t: u32, i: u32) -> mat4x4f {
  let row = min(first + ((i & 15u) >> 1u), P.tile_rows - 1u);
  return W_block(row * P.tiles + t, i >> 4u, i & 1u);
}

@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let first_token = wid.y * 64u;
  let first_row = wid.x * 8u;
  let begin = wid.z * P.slice;
  let end = min(begin + P.slice, P.tiles);
  let tx = lid % ${quadsWide}u;
  let ty = lid / ${quadsWide}u;
${outputs.map((o) => `  var c${o} = vec4f();`).join("\n")}
${loads.map((i) => `  var m${i} = mat4x4f();`).join("\n")}
  // A turn's tile is fetched, then the one before it, in workgroup memory by now, is multiplied while the fetch is on its way.
  for (var t = begin; t <= end; t++) {
    if (t < end) {
${loads.map((i) => `      if (${ofA(i)}) { m${i} = a_block(first_token, t, ${tile(i)}); } else { m${i} = w_block(first_row, t, ${tile(i)}); }`).join("\n")}
    }
    if (t > begin) {
${half === undefined ? "" : outputs.map((o) => `      var h${o} = vec4<half>();`).join("\n")}
      for (var k = 0u; k < 32u; k++) {
${range(rows / 4)
  .map((a) => `        let a${a} = a_tile[k * 16u + ty + ${(a * 64) / rows}u];`)
  .join("\n")}
${range(shape.quads)
  .map((q) => `        let w${q} = w_tile[k * 16u + tx + ${q * quadsWide}u];`)
  .join("\n")}
${range(rows)
  .flatMap((r) => range(shape.quads).map((q) => `        ${sum}${r}_${q} += a${r >> 2}.${"xyzw"[r & 3]} * w${q};`))
  .join("\n")}
      }
${half === undefined ? "" : outputs.map((o) => `      c${o} += vec4f(h${o});`).join("\n")}
    }
    workgroupBarrier();
    if (t < end) {
${loads
  .map(
    (i) => `      {
        let at = (${tile(i)} >> 4u) * 64u + (${tile(i)} & 15u);
        if (${ofA(i)}) { ${range(4)
          .map((j) => `a_tile[at + ${16 * j}u] = ${stored(`m${i}[${j}]`)};`)
          .join(" ")} } else { ${range(4)
          .map((j) => `w_tile[at + ${16 * j}u] = ${stored(`m${i}[${j}]`)};`)
          .join(" ")} }
      }`,
  )
  .join("\n")}
    }
    workgroupBarrier();
  }
${range(shape.quads)
  .map(
    (q) => `  {
    let quad = wid.x * 16u + tx + ${q * quadsWide}u;
    if (quad < P.tile_rows * 2u) {
      var bias = vec4f();
      if (wid.z == 0u) {
        let b = P.bias + quad * 4u;
        bias = vec4f(V[b], V[b + 1u], V[b + 2u], V[b + 3u]);
      }
${range(rows)
  .map((r) => {
    const token = `first_token + (ty + ${((r >> 2) * 64) / rows}u) * 4u + ${r & 3}u`;
    return `      O[wid.z * P.o_slice + P.o_first + (${token}) * P.o_stride + quad] = c${r}_${q} + bias;`;
  })
  .join("\n")}
    }
  }`,
  )
  .join("\n")}
}
`,
  };
}
