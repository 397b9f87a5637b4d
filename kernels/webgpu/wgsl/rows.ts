import type { Encoding } from "../../../weights/layout.ts";
import type { Variants } from "../variants.ts";
import { CHUNKS, LOADED, type Place, packedProduct, UNITS, unitProduct } from "./matrix.ts";

/** Columns above which int8 activations no longer fit beside the f32 ones in a workgroup's 16 KiB. */
const MOST_PACKED = 2048;
/** Loads of the matrix that a thread has on its way before anything is waited for: what registers hold beside the rest. */
const EARLY: Readonly<Record<Encoding, number>> = { f32: 2, q8: 8, q4: 8 };

/** Whether a matrix of the encoding and of `quads` × 4 columns is multiplied with int8 activations. */
export function isPacked(encoding: Encoding, quads: number, { packed }: Variants): encoding is "q8" | "q4" {
  return packed && encoding !== "f32" && 4 * quads <= MOST_PACKED;
}

/**
 * A workgroup's product of `rows` rows (8, 16, 32 or 64) of the matrix W with the vector `xs` in workgroup memory. Declares xs, red and tree, and
 *   fn fetch(lid, row) → Fetched            the first of this thread's loads; row is tile_row(wid, lid), of the workgroup and the thread
 *   fn prepare(lid)                         once xs is there: what the product needs of it
 *   fn accumulate(lid, row, f) → vec4f      this thread's part: its quad's half by lid & 1, every `slots`th unit of the columns
 *   fn sum_rows(lid, acc) → f32             the sums over the columns, that of row `lid` for lid < rows
 * each to be called by all 256 threads; a barrier between them is the caller's.
 * @param place of the matrix
 * @param small vec4f of `tree` at least, which the caller uses when no sum is on its way
 */
export function rowsProduct(
  encoding: Encoding,
  quads: number,
  rows: number,
  variants: Variants,
  place?: Place,
  small = 0,
): string {
  const units = (quads / 8) * UNITS[encoding];
  const slots = 1024 / rows;
  const packed = isPacked(encoding, quads, variants);
  const turns = Math.ceil(units / slots);
  const early = Array.from({ length: Math.min(turns, EARLY[encoding]) }, (_, i) => i);
  const [vector, scale] = packed ? ["xq", "xscale[tile] * "] : ["xs", ""];
  const chunk = (c: number): string =>
    `${vector}[tile * 8u + unit * ${CHUNKS[encoding]}u + ${Math.min(c, CHUNKS[encoding] - 1)}u]`;
  const add = (w: string, s: string): string => `
    let tile = j / ${UNITS[encoding]}u;
    let unit = j % ${UNITS[encoding]}u;
    acc += ${scale}W_dot(${w}, ${s}, ${chunk(0)}, ${chunk(1)});`;
  const at = `row * ${quads / 8}u + tile`;
  // Only the last turn may have too few units for all threads.
  const guard = (i: number): string => (slots * (i + 1) <= units ? "" : `if (j < ${units}u) `);
  return /* wgsl */ `
${packed ? packedProduct("W", encoding, place) : unitProduct("W", encoding, place)}
var<workgroup> xs: array<vec4f, ${quads}>;
var<workgroup> red: array<vec4f, 256>;
var<workgroup> tree: array<vec4f, ${Math.max(64, small)}>;
${packed ? quantizer(quads) : "fn prepare(lid: u32) {}\n"}
struct Fetched { ${early.map((i) => `w${i}: ${LOADED[encoding]}, s${i}: vec2u`).join(", ")} }
fn tile_row(wid: u32, lid: u32) -> u32 { return wid * ${rows / 8}u + lid / ${2 * slots}u; }
fn fetch(lid: u32, row: u32) -> Fetched {
  let hf = lid & 1u;
  let slot = (lid >> 1u) % ${slots}u;
  var f: Fetched;
${early
  .map(
    (i) => `  {
    let j = min(slot + ${i * slots}u, ${units - 1}u);
    let tile = ${at.replace("tile", `j / ${UNITS[encoding]}u`)};
    f.w${i} = W_load(tile, j % ${UNITS[encoding]}u, hf);
    f.s${i} = W_scale(tile, hf);
  }`,
  )
  .join("\n")}
  return f;
}
fn accumulate(lid: u32, row: u32, f: Fetched) -> vec4f {
  let hf = lid & 1u;
  let slot = (lid >> 1u) % ${slots}u;
  var acc = vec4f();
${early.map((i) => `  {\n    let j = slot + ${i * slots}u;\n    ${guard(i)}{${add(`f.w${i}`, `f.s${i}`)} }\n  }`).join("\n")}
  for (var j = slot + ${early.length * slots}u; j < ${units}u; j += ${slots}u) {${add(`W_load(${at}, unit, hf)`, `W_scale(${at}, hf)`)}
  }
  return acc;
}
${variants.subgroup > 0 ? subgroupSum(Math.min(variants.subgroup, 2 * slots), rows) : treeSum(rows)}`;
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

/** 256 threads leave what they have, 64 sum four each, and a thread a row the rest. */
function treeSum(rows: number): string {
  const slots = 1024 / rows;
  return /* wgsl */ `
fn sum_rows(lid: u32, acc: vec4f) -> f32 {
  red[((lid / ${2 * slots}u) * 2u + (lid & 1u)) * ${slots}u + (lid >> 1u) % ${slots}u] = acc;
  workgroupBarrier();
  if (lid < 64u) { tree[lid] = (red[lid * 4u] + red[lid * 4u + 1u]) + (red[lid * 4u + 2u] + red[lid * 4u + 3u]); }
  workgroupBarrier();
  var sum = 0.0;
  if (lid < ${rows}u) {
    for (var i = 0u; i < ${slots / 4}u; i++) { sum += tree[(lid >> 2u) * ${slots / 4}u + i][lid & 3u]; }
  }
  return sum;
}
`;
}

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

function subgroupSum(size: number, rows: number): string {
  const lanes = 2048 / rows;
  const parts = lanes / size;
  return /* wgsl */ `
fn sum_rows(lid: u32, acc: vec4f) -> f32 {
  var a = acc;
  ${subgroupReduce("a", 2, size)}
  if ((lid & ${size - 1}u) < 2u) { red[((lid / ${lanes}u) * 2u + (lid & 1u)) * ${parts}u + ((lid % ${lanes}u) / ${size}u)] = a; }
  workgroupBarrier();
  var sum = 0.0;
  if (lid < ${rows}u) {
    for (var i = 0u; i < ${parts}u; i++) { sum += red[(lid >> 2u) * ${parts}u + i][lid & 3u]; }
  }
  return sum;
}
`;
}
