import type { Encoding } from "../../../weights/layout.ts";
import type { KernelSource } from "../pipelines.ts";
import type { MambaSizes } from "../sizes.ts";
import { directives, type Variants } from "../variants.ts";
import { MATH } from "./math.ts";
import { CHUNKS, declareMatrix, UNITS, unitProduct, unpackers } from "./matrix.ts";
import { addParts } from "./parts.ts";
import { isPacked, rowsProduct, subgroupReduce } from "./rows.ts";

export const ENTER_GROUP = "wrrrwrwwu";

/**
 * The first half of a Mamba block for one token, one workgroup for `rows` rows of in_proj:
 *   u ← u + Σ partial                   what the block before left, summed by every workgroup for itself; one of them writes it down
 *   x, z = in_proj · norm(u)
 *   x ← silu(conv(x)), z ← silu(z)
 *   bc[workgroup] = x_proj[:, its channels] · x      a part of Δ, B and C: the next kernel sums the parts
 * The norm's factor is one number, so it multiplies the product instead of its input, and nothing waits for it. A workgroup waits for
 * memory most of its time, so what it loads that depends on nothing (weights, the convolution's window) is on its way from the beginning.
 */
export function enterSource(
  sizes: MambaSizes,
  rows: number,
  parts: number,
  inProj: Encoding,
  xProj: Encoding,
  variants: Variants,
): KernelSource {
  const { block, dimQuads, innerPad, vectors, xTileRows } = sizes;
  const { dim, inner, conv } = block;
  const chunks = CHUNKS[xProj];
  // Units of x_proj's columns that the workgroup has: part of a tile, or several.
  const xUnits = rows / (4 * chunks);
  const xTiles = Math.ceil(inner / 32);
  const roundRows = 256 / (2 * xUnits);
  const rounds = Array.from({ length: Math.ceil(xTileRows / roundRows) }, (_, i) => i);
  const inTileRows = Math.ceil((2 * inner) / 8);
  const { subgroup } = variants;
  const squares = subgroup > 0 ? 256 / subgroup : 16;
  const taps = Array.from({ length: conv - 1 }, (_, k) => k);
  const xTileRow = (round: number): string => `min(${round * roundRows}u + lid / ${2 * xUnits}u, ${xTileRows - 1}u)`;
  return {
    label: "enter",
    groups: [ENTER_GROUP],
    wgsl: /* wgsl */ `${directives({ ...variants, half: undefined, packed: isPacked(inProj, dimQuads, variants) })}
@group(0) @binding(0) var<storage, read_write> u: array<vec4f>; // (2, dim): read one, write the other
@group(0) @binding(1) var<storage, read> partial: array<vec4f>; // (parts, dim)
${declareMatrix("W", inProj, 2)}
@group(0) @binding(3) var<storage, read> V: array<f32>;
@group(0) @binding(4) var<storage, read_write> xz: array<f32>; // (2, inner)
${declareMatrix("X", xProj, 5)}
@group(0) @binding(6) var<storage, read_write> bc: array<vec4f>; // (workgroups with x, dtRank + 2 state)
@group(0) @binding(7) var<storage, read_write> state: array<f32>; // conv (conv − 1, inner), ssm
@group(0) @binding(8) var<uniform> P: vec4u; // which of u is read, parts there are: none before the first block
${MATH}${unpackers([inProj, xProj])}${rowsProduct(inProj, dimQuads, rows, variants)}${unitProduct("X", xProj)}
var<workgroup> squares: array<f32, ${squares}>;
var<workgroup> xv: array<f32, ${rows}>;

fn channels(chunk: u32) -> vec4f { return vec4f(xv[chunk * 4u], xv[chunk * 4u + 1u], xv[chunk * 4u + 2u], xv[chunk * 4u + 3u]); }

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let row = min(tile_row(wid.x, lid), ${inTileRows - 1}u);
  let fetched = fetch(lid, row);
  let r = wid.x * ${rows}u + lid % ${rows}u;
  let channel = min(r, ${inner - 1}u);
  let in_bias = V[${vectors.inBias}u + min(r, ${2 * inner - 1}u)];
  let conv_bias = V[${vectors.convBias}u + channel];
${taps.map((k) => `  let c${k} = state[${k * inner}u + channel];`).join("\n")}
${[...taps, conv - 1].map((k) => `  let t${k} = V[${vectors.conv + k}u + channel * ${conv}u];`).join("\n")}
  let hf = lid & 1u;
  let unit = (lid >> 1u) % ${xUnits}u;
  let x_tile = min((wid.x * ${xUnits}u + unit) / ${UNITS[xProj]}u, ${xTiles - 1}u);
  let x_unit = (wid.x * ${xUnits}u + unit) % ${UNITS[xProj]}u;
${rounds.map((i) => `  let xw${i} = X_load(${xTileRow(i)} * ${xTiles}u + x_tile, x_unit, hf);\n  let xs${i} = X_scale(${xTileRow(i)} * ${xTiles}u + x_tile, hf);`).join("\n")}

  let read = P.x * ${dimQuads}u;
  let write = ${dimQuads}u - read;
  var ss = 0.0;
  for (var v = lid; v < ${dimQuads}u; v += 256u) {
    var t = u[read + v];
    let w = ${vectors.norm}u + v * 4u;
    let norm = vec4f(V[w], V[w + 1u], V[w + 2u], V[w + 3u]);
    ${addParts("t", "partial", parts, (p) => `${p} * ${dimQuads}u + v`, "P.y")}
    if (wid.x == 0u) { u[write + v] = t; }
    xs[v] = t * norm;
    ss += dot(t, t);
  }
${
  subgroup > 0
    ? `  ${subgroupReduce("ss", 1, subgroup)}
  if (lid % ${subgroup}u == 0u) { squares[lid / ${subgroup}u] = ss; }`
    : "  red[lid] = vec4f(ss, 0.0, 0.0, 0.0);"
}
  workgroupBarrier();

  prepare(lid);
  let acc = accumulate(lid, row, fetched);
${
  subgroup > 0
    ? ""
    : `  if (lid < 16u) {
    var s = 0.0;
    for (var i = 0u; i < 16u; i++) { s += red[lid * 16u + i].x; }
    squares[lid] = s;
  }
  workgroupBarrier();`
}
  let sum = sum_rows(lid, acc);
  if (lid < ${rows}u) {
    var s = 0.0;
    for (var i = 0u; i < ${squares}u; i++) { s += squares[i]; }
    let value = sum * inverseSqrt(s / ${dim}.0 + ${block.norm.eps}) + in_bias;
    var x = 0.0;
    if (r < ${inner}u) {
      x = conv_bias + t${conv - 1} * value;
${taps.map((k) => `      x += t${k} * c${k};`).join("\n")}
${taps.map((k) => `      state[${k * inner}u + r] = ${k === conv - 2 ? "value" : `c${k + 1}`};`).join("\n")}
      x = silu(x);
      xz[r] = x;
    } else if (r < ${2 * inner}u) {
      xz[${innerPad - inner}u + r] = silu(value);
    }
    xv[lid] = x;
  }
  if (wid.x * ${rows}u >= ${inner}u) { return; }
  workgroupBarrier();

${rounds
  .map(
    (
      i,
    ) => `  red[lid] = X_dot(xw${i}, xs${i}, channels(unit * ${chunks}u), channels(unit * ${chunks}u + ${chunks - 1}u));
  workgroupBarrier();
  if (lid < ${2 * roundRows}u && ${2 * i * roundRows}u + lid < ${2 * xTileRows}u) {
    let at = (lid >> 1u) * ${2 * xUnits}u + (lid & 1u);
    var sum = vec4f();
    for (var i = 0u; i < ${xUnits}u; i++) { sum += red[at + i * 2u]; }
    bc[wid.x * ${2 * xTileRows}u + ${2 * i * roundRows}u + lid] = sum;
  }${i + 1 < rounds.length ? "\n  workgroupBarrier();" : ""}`,
  )
  .join("\n")}
}
`,
  };
}
