import type { Encoding } from "../../../weights/layout.ts";
import type { Variants } from "../variants.ts";
import { CHUNKS, packedProduct, UNITS, unitProduct } from "./matrix.ts";

/** Columns above which int8 activations no longer fit beside the f32 ones in a workgroup's 16 KiB. */
const MOST_PACKED = 2048;

/** Whether a matrix of the encoding and of `quads` × 4 columns is multiplied with int8 activations. */
export function isPacked(encoding: Encoding, quads: number, { packed }: Variants): boolean {
  return packed && encoding !== "f32" && 4 * quads <= MOST_PACKED;
}

/**
 * A workgroup's product of 32 rows of the matrix W with the vector `xs` in workgroup memory. Declares xs, red and tree, and
 *   fn prepare(lid)               once xs is there: what the product needs of it
 *   fn accumulate(lid, row)       this thread's part, of tile row `row`: its quad's half by lid & 1, every 32nd unit of the columns
 *   fn sum_rows(lid, acc) → f32   the sums over the columns, that of row `lid` for lid < 32
 * each to be called by all 256 threads; a barrier between them is the caller's.
 */
export function rowsProduct(encoding: Encoding, quads: number, variants: Variants): string {
  const units = (quads / 8) * UNITS[encoding];
  const packed = isPacked(encoding, quads, variants);
  const chunk = (c: number): string =>
    `tile * 8u + unit * ${CHUNKS[encoding]}u + ${Math.min(c, CHUNKS[encoding] - 1)}u`;
  const product = packed
    ? `xscale[tile] * W_packed(row * ${quads / 8}u + tile, unit, hf, xq[${chunk(0)}], xq[${chunk(1)}])`
    : `W_unit(row * ${quads / 8}u + tile, unit, hf, xs[${chunk(0)}], xs[${chunk(1)}])`;
  return /* wgsl */ `
${packed ? packedProduct("W", encoding) : unitProduct("W", encoding)}
var<workgroup> xs: array<vec4f, ${quads}>;
var<workgroup> red: array<vec4f, 256>;
${packed ? quantizer(quads) : "fn prepare(lid: u32) {}\n"}
fn accumulate(lid: u32, row: u32) -> vec4f {
  let hf = lid & 1u;
  var acc = vec4f();
  for (var j = (lid >> 1u) & 31u; j < ${units}u; j += 32u) {
    let tile = j / ${UNITS[encoding]}u;
    let unit = j % ${UNITS[encoding]}u;
    acc += ${product};
  }
  return acc;
}
${variants.subgroup > 0 ? subgroupSum(variants.subgroup) : TREE_SUM}`;
}

/** Each group of 32 columns to int8 with a scale of its own, as the tiles' rows are cut. */
function quantizer(quads: number): string {
  return /* wgsl */ `
var<workgroup> xq: array<u32, ${quads}>;
var<workgroup> xscale: array<f32, ${quads / 8}>;
fn prepare(lid: u32) {
  for (var v = lid; v < ${quads}u; v += 256u) {
    var m = vec4f();
    for (var i = 0u; i < 8u; i++) { m = max(m, abs(xs[(v & ~7u) + i])); }
    let most = max(max(m.x, m.y), max(m.z, m.w));
    xq[v] = pack4xI8(vec4i(round(xs[v] * select(0.0, 127.0 / most, most > 0.0))));
    if ((v & 7u) == 0u) { xscale[v >> 3u] = most / 127.0; }
  }
  workgroupBarrier();
}
`;
}

const TREE_SUM = /* wgsl */ `
var<workgroup> tree: array<vec4f, 64>;
fn sum_rows(lid: u32, acc: vec4f) -> f32 {
  red[((lid >> 6u) * 2u + (lid & 1u)) * 32u + ((lid >> 1u) & 31u)] = acc;
  workgroupBarrier();
  if (lid < 64u) { tree[lid] = (red[lid * 4u] + red[lid * 4u + 1u]) + (red[lid * 4u + 2u] + red[lid * 4u + 3u]); }
  workgroupBarrier();
  var sum = 0.0;
  if (lid < 32u) {
    for (var i = 0u; i < 8u; i++) { sum += tree[(lid >> 2u) * 8u + i][lid & 3u]; }
  }
  return sum;
}
`;

/**
 * Of each two lanes that are `size` apart or less, by the bits of their place. That a subgroup's lanes are neighbours in lid is what
 * devices do, not what WGSL promises: where it is not so, the check against the baseline finds it.
 */
export function subgroupReduce(value: string, from: number, size: number): string {
  const steps: string[] = [];
  for (let distance = from; distance < size; distance *= 2) {
    steps.push(`${value} += subgroupShuffleXor(${value}, ${distance}u);`);
  }
  return steps.join(" ");
}

function subgroupSum(size: number): string {
  const parts = 64 / size;
  return /* wgsl */ `
fn sum_rows(lid: u32, acc: vec4f) -> f32 {
  var a = acc;
  ${subgroupReduce("a", 2, size)}
  if ((lid & ${size - 1}u) < 2u) { red[((lid >> 6u) * 2u + (lid & 1u)) * ${parts}u + ((lid & 63u) / ${size}u)] = a; }
  workgroupBarrier();
  var sum = 0.0;
  if (lid < 32u) {
    for (var i = 0u; i < ${parts}u; i++) { sum += red[(lid >> 2u) * ${parts}u + i][lid & 3u]; }
  }
  return sum;
}
`;
}
