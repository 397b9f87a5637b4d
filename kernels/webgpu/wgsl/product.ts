import type { Encoding } from "../../../weights/layout.ts";
import type { KernelSource } from "../pipelines.ts";
import { GELU, NONE } from "./math.ts";
import { blockValues, declareMatrix, unpackers } from "./matrix.ts";

/** Positions, and rows of the matrix, that a workgroup takes: the larger where that leaves enough workgroups. */
export const PRODUCT_TILE = 32;
export const LARGE_TILE = 64;

/** Workgroups of large tiles that keep a GPU busy. */
const ENOUGH = 64;

/** Which tiles a product of so many rows and positions is cut into. */
export function productTile(rows: number, positions: number): typeof PRODUCT_TILE | typeof LARGE_TILE {
  const large = Math.ceil(rows / LARGE_TILE) * Math.ceil(positions / LARGE_TILE);
  return rows >= LARGE_TILE && large >= ENOUGH ? LARGE_TILE : PRODUCT_TILE;
}

/** What becomes of a product's values. */
export const ACTIVATIONS = { none: 0, exact: 1, tanh: 2 } as const;
export type Activation = keyof typeof ACTIVATIONS;

/** Up to so many positions a workgroup each is faster than a tile of them. */
export const FEW = 8;

/** What both products have in common: the record, the bindings, and what becomes of a sum. */
function declarations(encoding: Encoding): string {
  return /* wgsl */ `
struct Sizes {
  positions: u32, cols: u32, tiles: u32, tile_rows: u32, a_first: u32, a_stride: u32, o_first: u32, o_stride: u32,
  bias: u32, act: u32, add: u32,
}
@group(0) @binding(0) var<storage, read> A: array<vec4f>; // (positions, columns)
${declareMatrix("W", encoding, 1)}
@group(0) @binding(2) var<storage, read> V: array<f32>;
@group(0) @binding(3) var<storage, read_write> O: array<vec4f>; // (positions, rows)
@group(0) @binding(4) var<uniform> P: Sizes;
${unpackers([encoding])}${blockValues("W", encoding)}${GELU}
fn columns(position: u32, quad: u32) -> vec4f {
  let c = vec4u(quad * 4u) + vec4u(0u, 1u, 2u, 3u);
  let v = A[P.a_first + min(position, P.positions - 1u) * P.a_stride + quad];
  return select(vec4f(), v, c < vec4u(P.cols));
}

fn finish(v: vec4f) -> vec4f {
  if (P.act == ${ACTIVATIONS.exact}u) { return vec4f(gelu(v.x), gelu(v.y), gelu(v.z), gelu(v.w)); }
  if (P.act == ${ACTIVATIONS.tanh}u) { return vec4f(gelu_tanh(v.x), gelu_tanh(v.y), gelu_tanh(v.z), gelu_tanh(v.w)); }
  return v;
}

fn put(position: u32, quad: u32, sum: vec4f) {
  if (position >= P.positions || quad >= P.tile_rows * 2u) { return; }
  var bias = vec4f();
  if (P.bias != ${NONE}u) {
    let b = P.bias + quad * 4u;
    bias = vec4f(V[b], V[b + 1u], V[b + 2u], V[b + 3u]);
  }
  let at = P.o_first + position * P.o_stride + quad;
  let v = finish(sum + bias);
  if (P.add == 1u) { O[at] += v; } else { O[at] = v; }
}
`;
}

/**
 * O = act(A Wᵀ + bias), or O += it: a product that ends a step without another kernel behind it. Columns of A behind the matrix's are not
 * looked at, so that a row of A may be part of a longer one. A workgroup keeps 32 × 32 outcomes in registers, 4 × 4 a thread, or 64 × 64,
 * 8 × 4 a thread, and takes 32 columns at a time.
 */
export function productSource(encoding: Encoding, tile: typeof PRODUCT_TILE | typeof LARGE_TILE): KernelSource {
  const quads = tile / 4;
  const each = Array.from({ length: tile / 8 }, (_, i) => i);
  return {
    label: `product ${encoding} ${tile}`,
    groups: ["rrrwu"],
    wgsl: /* wgsl */ `${declarations(encoding)}
var<workgroup> a_tile: array<vec4f, ${32 * quads}>; // (32 columns, ${tile} positions)
var<workgroup> w_tile: array<vec4f, ${32 * quads}>; // (32 columns, ${tile} rows)

@compute @workgroup_size(${8 * quads})
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let x = lid % ${quads}u;
  let y = lid / ${quads}u;
  let position = wid.y * ${tile}u + x * 4u;
  let row = min(wid.x * ${tile / 8}u + (x >> 1u), P.tile_rows - 1u);
${each.map((i) => `  var c${i} = vec4f();`).join("\n")}
  for (var t = 0u; t < P.tiles; t++) {
    let quad = t * 8u + y;
    let a = transpose(mat4x4f(columns(position, quad), columns(position + 1u, quad), columns(position + 2u, quad), columns(position + 3u, quad)));
    let w = W_block(row * P.tiles + t, y, x & 1u);
    workgroupBarrier();
    for (var j = 0u; j < 4u; j++) {
      a_tile[(y * 4u + j) * ${quads}u + x] = a[j];
      w_tile[(y * 4u + j) * ${quads}u + x] = w[j];
    }
    workgroupBarrier();
    for (var k = 0u; k < 32u; k++) {
      let r = w_tile[k * ${quads}u + x];
${each
  .filter((i) => i % 4 === 0)
  .map((i) => `      let p${i / 4} = a_tile[k * ${quads}u + y * ${tile / 32}u + ${i / 4}u];`)
  .join("\n")}
${each.map((i) => `      c${i} += p${Math.floor(i / 4)}.${"xyzw"[i % 4]} * r;`).join("\n")}
    }
  }
  let first = wid.y * ${tile}u + y * ${tile / 8}u;
  let quad = wid.x * ${quads}u + x;
${each.map((i) => `  put(first + ${i}u, quad, c${i});`).join("\n")}
}
`,
  };
}

/** The same of few positions: a workgroup takes 8 rows and one of them, a thread every 32nd chunk of 4 columns of a quad. */
export function fewProductSource(encoding: Encoding): KernelSource {
  return {
    label: `few product ${encoding}`,
    groups: ["rrrwu"],
    wgsl: /* wgsl */ `${declarations(encoding)}
var<workgroup> sums: array<vec4f, 64>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let hf = lid & 1u;
  var sum = vec4f();
  for (var chunk = lid >> 1u; chunk < P.tiles * 8u; chunk += 32u) {
    sum += W_block(wid.x * P.tiles + (chunk >> 3u), chunk & 7u, hf) * columns(wid.y, chunk);
  }
  sums[lid] = sum;
  workgroupBarrier();
  for (var s = 32u; s > 1u; s >>= 1u) {
    if (lid < s) { sums[lid] += sums[lid + s]; }
    workgroupBarrier();
  }
  if (lid < 2u) { put(wid.y, wid.x * 2u + hf, sums[lid]); }
}
`,
  };
}
