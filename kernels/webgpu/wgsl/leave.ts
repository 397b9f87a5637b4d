import type { Encoding } from "../../../weights/layout.ts";
import type { HalvesEncodings, HalvesShape } from "./halves.ts";
import { CHUNKS, UNITS } from "./matrix.ts";
import { addParts } from "./parts.ts";

/** Loads of out_proj that a thread has on its way from the beginning: what registers hold beside the rest. */
const EARLY: Readonly<Record<Encoding, number>> = { f32: 2, q8: 16, q4: 16 };

/**
 * The second half of a Mamba block for one token, one workgroup for `channels` channels (8, 16, 32, 64 or 128):
 *   Δ, B, C = Σ bc,  Δ ← softplus(dt_proj · Δ)
 *   h ← exp(Δ A) h + Δ B x,  y = (C h + D x) · silu(z)
 *   partial[workgroup] = out_proj[:, its channels] · y     a part of what is added to u: whoever reads u next sums the parts
 * In the last step a thread takes four rows and all the channels, so nothing is left to be summed. Weights and state depend on nothing and
 * are on their way before the first sum is waited for.
 */
export function leaveHalf(
  { sizes, places, channels, bcParts }: HalvesShape,
  { dtProj, outProj }: HalvesEncodings,
): string {
  const { block, dimQuads, innerPad, vectors, xTileRows, ssm } = sizes;
  const { dim, inner, state: N, dtRank: R } = block;
  const xQuads = 2 * xTileRows;
  const groups = Math.min(Math.max(1, Math.floor(256 / xQuads)), bcParts);
  const turns = Math.ceil(bcParts / groups);
  const dtTiles = Math.ceil(R / 32);
  const dtUnits = dtTiles * UNITS[dtProj];
  // Threads that share a row of dt_proj: no more than it has units.
  const dtSlots = Math.min(1024 / channels, 2 ** Math.ceil(Math.log2(dtUnits)));
  const dtTurns = Array.from({ length: Math.ceil(dtUnits / dtSlots) }, (_, i) => i);
  const dtRows = Math.ceil(inner / 8);
  const outTiles = Math.ceil(inner / 32);
  const outChunks = CHUNKS[outProj];
  const outUnits = channels / (4 * outChunks);
  const outQuads = 2 * Math.ceil(dim / 8);
  const early = outUnits <= EARLY[outProj] ? outUnits : 0;
  const units = Array.from({ length: outUnits }, (_, i) => i);
  const tiles = Array.from({ length: Math.ceil(channels / 32) }, (_, i) => i);
  const lanes = 256 / channels;
  const states = Array.from({ length: Math.ceil(N / lanes) }, (_, i) => i);
  const four = (array: string, chunk: string): string =>
    `vec4f(${[0, 1, 2, 3].map((i) => `${array}[(${chunk}) * 4u + ${i}u]`).join(", ")})`;
  const dtChunk = (c: number): string =>
    `tree[tile * 8u + unit * ${CHUNKS[dtProj]}u + ${Math.min(c, CHUNKS[dtProj] - 1)}u]`;
  const bcElement = (at: string): string => `tree[(${at}) >> 2u][(${at}) & 3u]`;
  const tileOf = (unit: number): number => Math.floor(unit / UNITS[outProj]);
  // A workgroup of fewer channels than a tile has begins in its midst.
  const outTile = (i: number): string =>
    channels < 32
      ? `min(wid / ${32 / channels}u, ${outTiles - 1}u)`
      : `min(wid * ${channels / 32}u + ${i}u, ${outTiles - 1}u)`;
  const outUnit = (unit: number): string =>
    channels < 32 ? `wid % ${32 / channels}u * ${outUnits}u + ${unit}u` : `${unit % UNITS[outProj]}u`;
  const outLoad = (quad: string, unit: number): string =>
    `O_load((${quad} >> 1u) * ${outTiles}u + ${outTile(tileOf(unit))}, ${outUnit(unit)}, ${quad} & 1u)`;
  const outScale = (quad: string, tile: number): string =>
    `O_scale((${quad} >> 1u) * ${outTiles}u + ${outTile(tile)}, ${quad} & 1u)`;
  const outDot = (load: string, scale: string, unit: number): string =>
    `O_dot(${load}, ${scale}, ${four("own", `${unit * outChunks}u`)}, ${four("own", `${unit * outChunks + outChunks - 1}u`)})`;
  const store = (quad: string): string => `    if (wid == 0u) {
      s += V_four(${vectors.outBias}u + ${quad} * 4u);
    }
    stream[${places.partial}u + wid * ${dimQuads}u + ${quad}] = s;`;
  return /* wgsl */ `
fn leave(lid: u32, wid: u32) {
  let quad = min(lid, ${outQuads - 1}u);
${units
  .slice(0, early)
  .map((i) => `  let ow${i} = ${outLoad("quad", i)};`)
  .join("\n")}
${early > 0 ? tiles.map((i) => `  let os${i} = ${outScale("quad", i)};`).join("\n") : ""}
  let hf = lid & 1u;
  let slot = (lid >> 1u) % ${dtSlots}u;
  let dt_row = min(wid * ${channels / 8}u + lid / ${2 * dtSlots}u, ${dtRows - 1}u);
${dtTurns
  .map(
    (i) => `  let j${i} = min(slot + ${i * dtSlots}u, ${dtUnits - 1}u);
  let tw${i} = T_load(dt_row * ${dtTiles}u + j${i} / ${UNITS[dtProj]}u, j${i} % ${UNITS[dtProj]}u, hf);
  let ts${i} = T_scale(dt_row * ${dtTiles}u + j${i} / ${UNITS[dtProj]}u, hf);`,
  )
  .join("\n")}
  let dt_bias = V(${vectors.dtBias}u + min(wid * ${channels}u + lid % ${channels}u, ${inner - 1}u));
  let c = lid / ${lanes}u;
  let channel = min(wid * ${channels}u + c, ${inner - 1}u);
  let live = wid * ${channels}u + c < ${inner}u;
  let x = xz[channel];
  let z = xz[${innerPad}u + channel];
  let skip = V(${vectors.D}u + channel);
${states
  .map(
    (i) => `  let n${i} = lid % ${lanes}u + ${i * lanes}u;
  let at${i} = channel * ${N}u + min(n${i}, ${N - 1}u);
  let a${i} = V(${vectors.A}u + at${i});
  let h${i} = state[${ssm}u + at${i}];`,
  )
  .join("\n")}

  var total = vec4f();
  let p0 = lid / ${xQuads}u;
  if (p0 < ${groups}u) {
    let q0 = lid % ${xQuads}u;
    ${addParts("total", "stream", Math.floor(bcParts / groups), (p) => `${places.bc}u + (p0 + ${p} * ${groups}u) * ${xQuads}u + q0`, `${Math.floor(bcParts / groups)}u`)}
    ${bcParts % groups === 0 ? "" : `if (p0 < ${bcParts % groups}u) { total += stream[${places.bc}u + (p0 + ${(turns - 1) * groups}u) * ${xQuads}u + q0]; }`}
  }
  red[lid] = total;
  workgroupBarrier();
  if (lid < ${xQuads}u) {
    var s = vec4f();
    for (var g = 0u; g < ${groups}u; g++) { s += red[g * ${xQuads}u + lid]; }
    tree[lid] = s;
  }
  workgroupBarrier();

  {
    var acc = vec4f();
${dtTurns
  .map((i) => {
    const guard = (i + 1) * dtSlots <= dtUnits ? "" : `if (slot + ${i * dtSlots}u < ${dtUnits}u) `;
    return `    ${guard}{
      let tile = j${i} / ${UNITS[dtProj]}u;
      let unit = j${i} % ${UNITS[dtProj]}u;
      acc += T_dot(tw${i}, ts${i}, ${dtChunk(0)}, ${dtChunk(1)});
    }`;
  })
  .join("\n")}
    if (lid < ${(channels / 4) * dtSlots}u) { red[((lid / ${2 * dtSlots}u) * 2u + hf) * ${dtSlots}u + slot] = acc; }
  }
  workgroupBarrier();
  if (lid < ${channels}u) {
    var s = dt_bias;
    for (var i = 0u; i < ${dtSlots}u; i++) { s += red[(lid >> 2u) * ${dtSlots}u + i][lid & 3u]; }
    own[lid] = softplus(s);
  }
  workgroupBarrier();

  {
    let dt = own[c];
    let dx = dt * x;
    var s = 0.0;
${states
  .map(
    (i) => `    if (live && n${i} < ${N}u) {
      let h = exp(dt * a${i}) * h${i} + dx * ${bcElement(`${R}u + n${i}`)};
      state[${ssm}u + at${i}] = h;
      s += ${bcElement(`${R + N}u + n${i}`)} * h;
    }`,
  )
  .join("\n")}
    red[lid].x = s;
  }
  workgroupBarrier();
  if (lid % ${lanes}u == 0u) {
    var y = skip * x;
    for (var i = 0u; i < ${lanes}u; i++) { y += red[lid + i].x; }
    own[c] = select(0.0, y * z, live);
  }
  workgroupBarrier();

${
  early > 0
    ? `  if (lid < ${outQuads}u) {
    var s = vec4f();
${units.map((i) => `    s += ${outDot(`ow${i}`, `os${tileOf(i)}`, i)};`).join("\n")}
${store("lid")}
  }`
    : ""
}
  for (var q = lid${early > 0 ? " + 256u" : ""}; q < ${outQuads}u; q += 256u) {
    var s = vec4f();
${units.map((i) => `    s += ${outDot(outLoad("q", i), outScale("q", tileOf(i)), i)};`).join("\n")}
${store("q")}
  }
}
`;
}
