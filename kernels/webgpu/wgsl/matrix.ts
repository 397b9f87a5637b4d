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

export function declareMatrix(name: string, encoding: Encoding, binding: number): string {
  const type = encoding === "f32" ? "vec4f" : "vec4u";
  return `@group(0) @binding(${binding}) var<storage, read> ${name}: array<${type}>;\n`;
}

const scales = (name: string, vectors: number): string => /* wgsl */ `
fn ${name}_scales(tile: u32, hf: u32) -> vec4f {
  let s = ${name}[tile * ${vectors}u];
  let w = select(s.xy, s.zw, hf == 1u);
  return bitcast<vec4f>(vec4u(w.x << 16u, w.x & 0xffff0000u, w.y << 16u, w.y & 0xffff0000u));
}
`;

const BYTES = /* wgsl */ `
fn signed_bytes(w: u32) -> vec4f { return vec4f(bitcast<vec4i>(vec4u(w << 24u, w << 16u, w << 8u, w)) >> vec4u(24u)); }
`;

const NIBBLES = /* wgsl */ `
fn nibbles(w: u32) -> vec4f { return vec4f(vec4u(w, w >> 8u, w >> 16u, w >> 24u) & vec4u(15u)) - ${Q4_ZERO}.0; }
`;

/** fn name_unit(tile, unit, hf, x0, x1): a quad's product with the unit's columns, x0 and (q4 only) x1 being 4 of x each. */
export function unitProduct(name: string, encoding: Encoding): string {
  const signature = `fn ${name}_unit(tile: u32, unit: u32, hf: u32, x0: vec4f, x1: vec4f) -> vec4f`;
  const rows = (row: (r: string) => string): string => `vec4f(${["x", "y", "z", "w"].map(row).join(", ")})`;
  switch (encoding) {
    case "f32":
      return /* wgsl */ `
${signature} {
  let at = tile * 64u + unit * 8u + hf * 4u;
  return vec4f(dot(${name}[at], x0), dot(${name}[at + 1u], x0), dot(${name}[at + 2u], x0), dot(${name}[at + 3u], x0));
}
`;
    case "q8":
      return /* wgsl */ `${scales(name, 17)}
${signature} {
  let w = ${name}[tile * 17u + 1u + unit * 2u + hf];
  return ${name}_scales(tile, hf) * ${rows((r) => `dot(signed_bytes(w.${r}), x0)`)};
}
`;
    case "q4":
      return /* wgsl */ `${scales(name, 9)}
${signature} {
  let w = ${name}[tile * 9u + 1u + unit * 2u + hf];
  return ${name}_scales(tile, hf) * ${rows((r) => `dot(nibbles(w.${r}), x0) + dot(nibbles(w.${r} >> 4u), x1)`)};
}
`;
  }
}

/** fn name_packed(tile, unit, hf, x0, x1): the same with columns of x in int8, four in a word, exact but for their rounding. */
export function packedProduct(name: string, encoding: Encoding): string {
  const rows = (row: (r: string) => string): string => `vec4f(vec4i(${["x", "y", "z", "w"].map(row).join(", ")}))`;
  const [vectors, load, dots] =
    encoding === "q8"
      ? [17, "", rows((r) => `dot4I8Packed(w.${r}, x0)`)]
      : [
          9,
          `let zero = ${Q4_ZERO} * (dot4I8Packed(0x01010101u, x0) + dot4I8Packed(0x01010101u, x1));`,
          rows((r) => `dot4I8Packed(w.${r} & 0x0f0f0f0fu, x0) + dot4I8Packed((w.${r} >> 4u) & 0x0f0f0f0fu, x1) - zero`),
        ];
  return /* wgsl */ `${scales(name, vectors)}
fn ${name}_packed(tile: u32, unit: u32, hf: u32, x0: u32, x1: u32) -> vec4f {
  let w = ${name}[tile * ${vectors}u + 1u + unit * 2u + hf];
  ${load}
  return ${name}_scales(tile, hf) * ${dots};
}
`;
}

/** fn name_block(tile, chunk, hf): the 4 × 4 values of a quad and a chunk; element [j] holds column j of the 4 rows. */
export function blockValues(name: string, encoding: Encoding): string {
  const signature = `fn ${name}_block(tile: u32, chunk: u32, hf: u32) -> mat4x4f`;
  const block = (row: (r: string) => string): string => /* wgsl */ `
  let s = ${name}_scales(tile, hf);
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
      return /* wgsl */ `${scales(name, 17)}
${signature} {
  let w = ${name}[tile * 17u + 1u + chunk * 2u + hf];
${block((r) => `signed_bytes(w.${r})`)}}
`;
    case "q4":
      return /* wgsl */ `${scales(name, 9)}
${signature} {
  let w = ${name}[tile * 9u + 1u + (chunk >> 1u) * 2u + hf] >> vec4u((chunk & 1u) * 4u);
${block((r) => `nibbles(w.${r})`)}}
`;
  }
}

/** The helpers that the encodings of a kernel's matrices need. */
export function unpackers(encodings: readonly Encoding[]): string {
  return (encodings.includes("q8") ? BYTES : "") + (encodings.includes("q4") ? NIBBLES : "");
}
