import type { Variants } from "../variants.ts";
import { type HalvesEncodings, type HalvesShape, smallQuads } from "./halves.ts";
import { CHUNKS, UNITS } from "./matrix.ts";
import { addParts } from "./parts.ts";
import { rowsProduct, subgroupReduce } from "./rows.ts";

/**
 * The first half of a Mamba block for one token, one workgroup for `rows` rows of in_proj:
 *   u ← u + Σ partial                   what the block before left, summed by every workgroup for itself; one of them writes it down
 *   x, z = in_proj · norm(u)
 *   x ← silu(conv(x)), z ← silu(z)
 *   bc[workgroup] = x_proj[:, its channels] · x      a part of Δ, B and C: the next kernel sums the parts
 * The norm's factor is one number, so it multiplies the product instead of its input, and nothing waits for it. A workgroup waits for
 * memory most of its time, so what it loads that depends on nothing (weights, the convolution's window) is on its way from the beginning.
 */
export function enterHalf(
  { sizes, weights, places, rows, channels, partsBefore }: HalvesShape,
  { inProj, xProj }: HalvesEncodings,
  variants: Variants,
): string {
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
  return /* wgsl */ `${rowsProduct(inProj, dimQuads, rows, variants, weights.matrices.get(block.inProj.weight)! / 16, smallQuads(sizes))}
var<workgroup> squares: array<f32, ${squares}>;
var<workgroup> own: array<f32, ${Math.max(rows, channels)}>;

fn channels(chunk: u32) -> vec4f { return vec4f(own[chunk * 4u], own[chunk * 4u + 1u], own[chunk * 4u + 2u], own[chunk * 4u + 3u]); }

fn enter(lid: u32, wid: u32) {
  let row = min(tile_row(wid, lid), ${inTileRows - 1}u);
  let fetched = fetch(lid, row);
  let r = wid * ${rows}u + lid % ${rows}u;
  let channel = min(r, ${inner - 1}u);
  let in_bias = V(${vectors.inBias}u + min(r, ${2 * inner - 1}u));
  let conv_bias = V(${vectors.convBias}u + channel);
${taps.map((k) => `  let c${k} = state[${k * inner}u + channel];`).join("\n")}
${[...taps, conv - 1].map((k) => `  let t${k} = V(${vectors.conv + k}u + channel * ${conv}u);`).join("\n")}
  let hf = lid & 1u;
  let unit = (lid >> 1u) % ${xUnits}u;
  let x_tile = min((wid * ${xUnits}u + unit) / ${UNITS[xProj]}u, ${xTiles - 1}u);
  let x_unit = (wid * ${xUnits}u + unit) % ${UNITS[xProj]}u;
${rounds.map((i) => `  let xw${i} = X_load(${xTileRow(i)} * ${xTiles}u + x_tile, x_unit, hf);\n  let xs${i} = X_scale(${xTileRow(i)} * ${xTiles}u + x_tile, hf);`).join("\n")}

  let read = P.x * ${dimQuads}u;
  let write = ${dimQuads}u - read;
  var ss = 0.0;
  for (var v = lid; v < ${dimQuads}u; v += 256u) {
    var t = stream[read + v];
    let norm = V_four(${vectors.norm}u + v * 4u);
    ${addParts("t", "stream", partsBefore, (p) => `${places.partial}u + ${p} * ${dimQuads}u + v`, `P.y * ${partsBefore}u`)}
    if (wid == 0u) { stream[write + v] = t; }
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
    own[lid] = x;
  }
  if (wid * ${rows}u >= ${inner}u) { return; }
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
    stream[${places.bc}u + wid * ${2 * xTileRows}u + ${2 * i * roundRows}u + lid] = sum;
  }${i + 1 < rounds.length ? "\n  workgroupBarrier();" : ""}`,
  )
  .join("\n")}
}
`;
}
