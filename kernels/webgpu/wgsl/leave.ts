import type { Encoding } from "../../../weights/layout.ts";
import type { KernelSource } from "../pipelines.ts";
import type { MambaSizes } from "../sizes.ts";
import { MATH } from "./math.ts";
import { CHUNKS, declareMatrix, UNITS, unitProduct, unpackers } from "./matrix.ts";

/**
 * The second half of a Mamba block for one token, one workgroup for `channels` channels:
 *   Δ, B, C = Σ bc,  Δ ← softplus(dt_proj · Δ)
 *   h ← exp(Δ A) h + Δ B x,  y = (C h + D x) · silu(z)
 *   partial[workgroup] = out_proj[:, its channels] · y     a part of what is added to u: whoever reads u next sums the parts
 */
export function leaveSource(sizes: MambaSizes, channels: number, dtProj: Encoding, outProj: Encoding): KernelSource {
  const { block, dimQuads, innerPad, vectors, xTileRows, ssm } = sizes;
  const { dim, inner, state: N, dtRank: R } = block;
  const xQuads = 2 * xTileRows;
  const groups = Math.floor(256 / xQuads);
  const bcParts = Math.ceil(inner / 32);
  const dtTiles = Math.ceil(R / 32);
  const dtSlots = 1024 / channels;
  const dtRows = Math.ceil(inner / 8);
  const outTiles = Math.ceil(inner / 32);
  const outUnits = (channels / 32) * UNITS[outProj];
  const outRows = Math.ceil(dim / 8);
  const lanes = 256 / channels;
  const four = (array: string, chunk: string): string =>
    `vec4f(${[0, 1, 2, 3].map((i) => `${array}[(${chunk}) * 4u + ${i}u]`).join(", ")})`;
  const chunkOf = (tile: string, unit: string, encoding: Encoding, c: number): string =>
    `${tile} * 8u + ${unit} * ${CHUNKS[encoding]}u + ${Math.min(c, CHUNKS[encoding] - 1)}u`;
  return {
    label: "leave",
    groups: ["rrrrrw", "w"],
    wgsl: /* wgsl */ `
@group(0) @binding(0) var<storage, read> xz: array<f32>; // (2, inner)
@group(0) @binding(1) var<storage, read> bc: array<vec4f>; // (inner / 32, dtRank + 2 state)
${declareMatrix("T", dtProj, 2)}
@group(0) @binding(3) var<storage, read> V: array<f32>;
${declareMatrix("O", outProj, 4)}
@group(0) @binding(5) var<storage, read_write> partial: array<vec4f>; // (workgroups, dim)
@group(1) @binding(0) var<storage, read_write> state: array<f32>; // conv, ssm (inner, state)
${MATH}${unpackers([dtProj, outProj])}${unitProduct("T", dtProj)}${unitProduct("O", outProj)}
var<workgroup> red: array<vec4f, 256>;
var<workgroup> bcs: array<f32, ${Math.max(8 * xTileRows, 32 * dtTiles)}>;
var<workgroup> dts: array<f32, ${channels}>;
var<workgroup> sums: array<f32, 256>;
var<workgroup> ys: array<f32, ${channels}>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  var total = vec4f();
  if (lid < ${groups * xQuads}u) {
    for (var p = lid / ${xQuads}u; p < ${bcParts}u; p += ${groups}u) { total += bc[p * ${xQuads}u + lid % ${xQuads}u]; }
  }
  red[lid] = total;
  workgroupBarrier();
  if (lid < ${xQuads}u) {
    var s = vec4f();
    for (var g = 0u; g < ${groups}u; g++) { s += red[g * ${xQuads}u + lid]; }
    for (var i = 0u; i < 4u; i++) { bcs[lid * 4u + i] = s[i]; }
  }
  workgroupBarrier();

  let hf = lid & 1u;
  {
    let slot = (lid >> 1u) % ${dtSlots}u;
    let tr = lid / ${2 * dtSlots}u;
    let row = min(wid.x * ${channels / 8}u + tr, ${dtRows - 1}u);
    var acc = vec4f();
    for (var j = slot; j < ${dtTiles * UNITS[dtProj]}u; j += ${dtSlots}u) {
      let tile = j / ${UNITS[dtProj]}u;
      let unit = j % ${UNITS[dtProj]}u;
      acc += T_unit(row * ${dtTiles}u + tile, unit, hf, ${four("bcs", chunkOf("tile", "unit", dtProj, 0))}, ${four("bcs", chunkOf("tile", "unit", dtProj, 1))});
    }
    red[(tr * 2u + hf) * ${dtSlots}u + slot] = acc;
  }
  workgroupBarrier();
  if (lid < ${channels}u) {
    var s = V[${vectors.dtBias}u + min(wid.x * ${channels}u + lid, ${inner - 1}u)];
    for (var i = 0u; i < ${dtSlots}u; i++) { s += red[(lid >> 2u) * ${dtSlots}u + i][lid & 3u]; }
    dts[lid] = softplus(s);
  }
  workgroupBarrier();

  {
    let c = lid / ${lanes}u;
    let channel = wid.x * ${channels}u + c;
    var s = 0.0;
    if (channel < ${inner}u) {
      let dt = dts[c];
      let dx = dt * xz[channel];
      for (var n = lid % ${lanes}u; n < ${N}u; n += ${lanes}u) {
        let i = channel * ${N}u + n;
        let h = exp(dt * V[${vectors.A}u + i]) * state[${ssm}u + i] + dx * bcs[${R}u + n];
        state[${ssm}u + i] = h;
        s += bcs[${R + N}u + n] * h;
      }
    }
    sums[lid] = s;
  }
  workgroupBarrier();
  if (lid < ${channels}u) {
    let channel = wid.x * ${channels}u + lid;
    var y = 0.0;
    if (channel < ${inner}u) {
      y = V[${vectors.D}u + channel] * xz[channel];
      for (var i = 0u; i < ${lanes}u; i++) { y += sums[lid * ${lanes}u + i]; }
      y *= xz[${innerPad}u + channel];
    }
    ys[lid] = y;
  }
  workgroupBarrier();

  let slot = (lid >> 1u) & 3u;
  for (var base = 0u; base < ${outRows}u; base += 32u) {
    let tr = base + (lid >> 3u);
    var acc = vec4f();
    if (tr < ${outRows}u) {
      for (var j = slot; j < ${outUnits}u; j += 4u) {
        let tile = j / ${UNITS[outProj]}u;
        let unit = j % ${UNITS[outProj]}u;
        let column = wid.x * ${channels / 32}u + tile;
        if (column < ${outTiles}u) {
          acc += O_unit(tr * ${outTiles}u + column, unit, hf, ${four("ys", chunkOf("tile", "unit", outProj, 0))}, ${four("ys", chunkOf("tile", "unit", outProj, 1))});
        }
      }
    }
    red[((lid >> 3u) * 2u + hf) * 4u + slot] = acc;
    workgroupBarrier();
    let quad = base * 2u + lid;
    if (lid < 64u && quad < ${2 * outRows}u) {
      var s = (red[lid * 4u] + red[lid * 4u + 1u]) + (red[lid * 4u + 2u] + red[lid * 4u + 3u]);
      if (wid.x == 0u) {
        let b = ${vectors.outBias}u + quad * 4u;
        s += vec4f(V[b], V[b + 1u], V[b + 2u], V[b + 3u]);
      }
      partial[wid.x * ${dimQuads}u + quad] = s;
    }
    workgroupBarrier();
  }
}
`,
  };
}
