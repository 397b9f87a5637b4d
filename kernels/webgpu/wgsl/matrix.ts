import { type Encoding, Q4_TILE_BYTES, Q4_ZERO, Q8_TILE_BYTES } from "../../../weights/layout.ts";

/**
 * How kernels read matrices: in tiles of 8 rows × 32 columns, those of weights/layout.ts. f32 has tiles too, without scales: 8 chunks of 4
 * columns, each 8 rows × 4 f32. A thread takes a quad (4 rows, half a tile) at a time: what one vec4u of q8 or q4 holds.
 */

export const TILE_BYTES: Readonly<Record<Encoding, number>> = { f32: 1024, q8: Q8_TILE_BYTES, q4: Q4_TILE_BYTES };

/** Loads that a quad's 32 columns take: one covers 4 columns, in q4 8. */
export const UNITS: Readonly<Record<Encoding, number>> = { f32: 8, q8: 8, q4: 4 };

/** Chunks of 4 columns that a unit covers. */
export const CHUNKS: Readonly<Record<Encoding, number>> = { f32: 1, q8: 1, q4: 2 };

/** Where a matrix lies: in a binding of its own, of its name; or from a vec4u of the binding B on. */
export type Place = number | undefined;

function element(name: string, encoding: Encoding, place: Place, index: string): string {
  if (place === undefined) return `${name}[${index}]`;
  const vector = `B[${place}u + ${index}]`;
  return encoding === "f32" ? `bitcast<vec4f>(${vector})` : vector;
}

export function declareMatrix(name: string, encoding: Encoding, binding: number): string {
  const type = encoding === "f32" ? "vec4f" : "vec4u";
  return `@group(0) @binding(${binding}) var<storage, read> ${name}: array<${type}>;\n`;
}

/** vec4u of a tile: the 8 scales in bf16, then the values. */
const VECTORS = { q8: 17, q4: 9 } as const;

const SCALES = /* wgsl */ `
fn scale_values(s: vec2u) -> vec4f {
  return bitcast<vec4f>(vec4u(s.x << 16u, s.x & 0xffff0000u, s.y << 16u, s.y & 0xffff0000u));
}
`;

const BYTES = /* wgsl */ `
fn signed_bytes(w: u32) -> vec4f { return vec4f(bitcast<vec4i>(vec4u(w << 24u, w << 16u, w << 8u, w)) >> vec4u(24u)); }
`;

const NIBBLES = /* wgsl */ `
fn nibbles(w: u32) -> vec4f { return vec4f(vec4u(w, w >> 8u, w >> 16u, w >> 24u) & vec4u(15u)) - ${Q4_ZERO}.0; }
`;

/** Type of what a unit's load leaves in registers. */
export const LOADED: Readonly<Record<Encoding, string>> = { f32: "mat4x4f", q8: "vec4u", q4: "vec4u" };

/**
 * A unit is loaded and multiplied apart, so that kernels can have many loads on their way before they wait for anything:
 *   fn name_load(tile, unit, hf) → LOADED       a quad's part of the unit
 *   fn name_scale(tile, hf) → vec2u             the quad's scales as they lie there
 *   fn name_dot(w, s, x0, x1) → vec4f           the product with the unit's columns, x0 and (q4 only) x1 being 4 of x each
 */
export function unitProduct(name: string, encoding: Encoding, place?: Place): string {
  const signature = `fn ${name}_dot(w: ${LOADED[encoding]}, s: vec2u, x0: vec4f, x1: vec4f) -> vec4f`;
  if (encoding === "f32") {
    const at = (i: number): string => element(name, encoding, place, `at + ${i}u`);
    return /* wgsl */ `
fn ${name}_load(tile: u32, unit: u32, hf: u32) -> mat4x4f {
  let at = tile * 64u + unit * 8u + hf * 4u;
  return mat4x4f(${at(0)}, ${at(1)}, ${at(2)}, ${at(3)});
}
fn ${name}_scale(tile: u32, hf: u32) -> vec2u { return vec2u(); }
${signature} { return x0 * w; }
`;
  }
  const product = (r: string): string =>
    encoding === "q8" ? `dot(signed_bytes(w.${r}), x0)` : `dot(nibbles(w.${r}), x0) + dot(nibbles(w.${r} >> 4u), x1)`;
  return /* wgsl */ `${quantizedLoads(name, encoding, place)}
${signature} { return scale_values(s) * vec4f(${["x", "y", "z", "w"].map(product).join(", ")}); }
`;
}

/** The same with columns of x in int8, four in a word, exact but for their rounding. */
export function packedProduct(name: string, encoding: "q8" | "q4", place?: Place): string {
  const rows = (row: (r: string) => string): string => `vec4f(vec4i(${["x", "y", "z", "w"].map(row).join(", ")}))`;
  const [zero, dots] =
    encoding === "q8"
      ? ["", rows((r) => `dot4I8Packed(w.${r}, x0)`)]
      : [
          `let zero = ${Q4_ZERO} * (dot4I8Packed(0x01010101u, x0) + dot4I8Packed(0x01010101u, x1));`,
          rows((r) => `dot4I8Packed(w.${r} & 0x0f0f0f0fu, x0) + dot4I8Packed((w.${r} >> 4u) & 0x0f0f0f0fu, x1) - zero`),
        ];
  return /* wgsl */ `${quantizedLoads(name, encoding, place)}
fn ${name}_dot(w: vec4u, s: vec2u, x0: u32, x1: u32) -> vec4f {
  ${zero}
  return scale_values(s) * ${dots};
}
`;
}

function quantizedLoads(name: string, encoding: "q8" | "q4", place?: Place): string {
  const vectors = VECTORS[encoding];
  const at = (index: string): string => element(name, encoding, place, index);
  return /* wgsl */ `
fn ${name}_load(tile: u32, unit: u32, hf: u32) -> vec4u { return ${at(`tile * ${vectors}u + 1u + unit * 2u + hf`)}; }
fn ${name}_scale(tile: u32, hf: u32) -> vec2u {
  let s = ${at(`tile * ${vectors}u`)};
  return select(s.xy, s.zw, hf == 1u);
}`;
}

/** fn name_block(tile, chunk, hf): the 4 × 4 values of a quad and a chunk; element [j] holds column j of the 4 rows. */
export function blockValues(name: string, encoding: Encoding): string {
  const signature = `fn ${name}_block(tile: u32, chunk: u32, hf: u32) -> mat4x4f`;
  const block = (row: (r: string) => string): string => /* wgsl */ `
  let s = scale_values(${name}_scale(tile, hf));
  let m = transpose(mat4x4f(${["x", "y", "z", "w"].map(row).join(", ")}));
  return mat4x4f(m[0] * s, m[1] * s, m[2] * s, m[3] * s);
`;
  switch (encoding) {
    case "f32":
      return /* wgsl */ `
${signature} {
  let at = tile * 64u + chunk * 8u + hf * 4u;
  return transpose(mat4x4f(${name}[at], ${name}[at + 1u], ${name}[at + 2u], ${name}[at + 3u]));
}
`;
    case "q8":
      return /* wgsl */ `${quantizedLoads(name, "q8")}
${signature} {
  let w = ${name}_load(tile, chunk, hf);
${block((r) => `signed_bytes(w.${r})`)}}
`;
    case "q4":
      return /* wgsl */ `${quantizedLoads(name, "q4")}
${signature} {
  let w = ${name}_load(tile, chunk >> 1u, hf) >> vec4u((chunk & 1u) * 4u);
${block((r) => `nibbles(w.${r})`)}}
`;
  }
}

/** The helpers that the encodings of a kernel's matrices need. */
export function unpackers(encodings: readonly Encoding[]): string {
  const quantized = encodings.some((e) => e !== "f32");
  return (
    (quantized ? SCALES : "") + (encodings.includes("q8") ? BYTES : "") + (encodings.includes("q4") ? NIBBLES : "")
  );
}
