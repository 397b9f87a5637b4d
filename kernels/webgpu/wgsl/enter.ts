import type { Encoding } from "../../../weights/layout.ts";
import type { KernelSource } from "../pipelines.ts";
import type { MambaSizes } from "../sizes.ts";
import { directives, type Variants } from "../variants.ts";
import { MATH } from "./math.ts";
import { CHUNKS, declareMatrix, UNITS, unitProduct, unpackers } from "./matrix.ts";
import { isPacked, rowsProduct, subgroupReduce } from "./rows.ts";

/** Rows of in_proj, and columns of x_proj, that a workgroup takes: a tile's width. */
export const ENTER_ROWS = 32;

/**
 * The first half of a Mamba block for one token, one workgroup for 32 rows of in_proj:
 *   u ← u + Σ partial                   what the block before left, summed by every workgroup for itself; one of them writes it down
 *   x, z = in_proj · norm(u)
 *   x ← silu(conv(x)), z ← silu(z)
 *   bc[workgroup] = x_proj[:, its 32 channels] · x      a part of Δ, B and C: the next kernel sums the parts
 * The norm's factor is one number, so it multiplies the product instead of its input, and nothing waits for it.
 */
export function enterSource(
  sizes: MambaSizes,
  parts: number,
  inProj: Encoding,
  xProj: Encoding,
  variants: Variants,
): KernelSource {
  const { block, dimQuads, innerPad, vectors, xTileRows } = sizes;
  const { dim, inner, conv } = block;
  const xUnits = UNITS[xProj];
  const xTiles = Math.ceil(inner / 32);
  const inTileRows = Math.ceil((2 * inner) / 8);
  const roundRows = 256 / (2 * xUnits);
  const { subgroup } = variants;
  const squares = subgroup > 0 ? 256 / subgroup : 16;
  const taps = Array.from({ length: conv - 1 }, (_, k) => k);
  return {
    label: "enter",
    groups: ["wrrrwrwu", "w"],
    wgsl: /* wgsl */ `${directives({ ...variants, half: undefined, packed: isPacked(inProj, dimQuads, variants) })}
@group(0) @binding(0) var<storage, read_write> u: array<vec4f>; // (2, dim): read one, write the other
@group(0) @binding(1) var<storage, read> partial: array<vec4f>; // (parts, dim)
${declareMatrix("W", inProj, 2)}
@group(0) @binding(3) var<storage, read> V: array<f32>;
@group(0) @binding(4) var<storage, read_write> xz: array<f32>; // (2, inner)
${declareMatrix("X", xProj, 5)}
@group(0) @binding(6) var<storage, read_write> bc: array<vec4f>; // (inner / 32, dtRank + 2 state)
@group(0) @binding(7) var<uniform> P: vec4u; // which of u is read
@group(1) @binding(0) var<storage, read_write> state: array<f32>; // conv (conv − 1, inner), ssm
${MATH}${unpackers([inProj, xProj])}${rowsProduct(inProj, dimQuads, variants)}${unitProduct("X", xProj)}
var<workgroup> squares: array<f32, ${squares}>;
var<workgroup> xv: array<f32, 32>;

fn channels(chunk: u32) -> vec4f { return vec4f(xv[chunk * 4u], xv[chunk * 4u + 1u], xv[chunk * 4u + 2u], xv[chunk * 4u + 3u]); }

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let read = P.x * ${dimQuads}u;
  let write = ${dimQuads}u - read;
  var ss = 0.0;
  for (var v = lid; v < ${dimQuads}u; v += 256u) {
    var t = u[read + v];
    for (var p = 0u; p < ${parts}u; p++) { t += partial[p * ${dimQuads}u + v]; }
    if (wid.x == 0u) { u[write + v] = t; }
    let w = ${vectors.norm}u + v * 4u;
    xs[v] = t * vec4f(V[w], V[w + 1u], V[w + 2u], V[w + 3u]);
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
  let hf = lid & 1u;
  let acc = accumulate(lid, min(wid.x * 4u + (lid >> 6u), ${inTileRows - 1}u));
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
  if (lid < 32u) {
    var s = 0.0;
    for (var i = 0u; i < ${squares}u; i++) { s += squares[i]; }
    let r = wid.x * 32u + lid;
    let value = sum * inverseSqrt(s / ${dim}.0 + ${block.norm.eps}) + V[${vectors.inBias}u + min(r, ${2 * inner - 1}u)];
    var x = 0.0;
    if (r < ${inner}u) {
      let w = ${vectors.conv}u + r * ${conv}u;
      x = V[${vectors.convBias}u + r] + V[w + ${conv - 1}u] * value;
${taps.map((k) => `      let c${k} = state[${k * inner}u + r];\n      x += V[w + ${k}u] * c${k};`).join("\n")}
${taps.map((k) => `      state[${k * inner}u + r] = ${k === conv - 2 ? "value" : `c${k + 1}`};`).join("\n")}
      x = silu(x);
      xz[r] = x;
    } else if (r < ${2 * inner}u) {
      xz[${innerPad - inner}u + r] = silu(value);
    }
    xv[lid] = x;
  }
  if (wid.x >= ${xTiles}u) { return; }
  workgroupBarrier();

  let unit = (lid >> 1u) % ${xUnits}u;
  for (var base = 0u; base < ${xTileRows}u; base += ${roundRows}u) {
    let tr = base + lid / ${2 * xUnits}u;
    var part = vec4f();
    if (tr < ${xTileRows}u) {
      part = X_unit(tr * ${xTiles}u + wid.x, unit, hf, channels(unit * ${CHUNKS[xProj]}u), channels(unit * ${CHUNKS[xProj]}u + ${CHUNKS[xProj] - 1}u));
    }
    red[lid] = part;
    workgroupBarrier();
    let quad = base * 2u + lid;
    if (lid < ${2 * roundRows}u && quad < ${2 * xTileRows}u) {
      let at = (lid >> 1u) * ${2 * xUnits}u + (lid & 1u);
      var sum = vec4f();
      for (var i = 0u; i < ${xUnits}u; i++) { sum += red[at + i * 2u]; }
      bc[wid.x * ${2 * xTileRows}u + quad] = sum;
    }
    workgroupBarrier();
  }
}
`,
  };
}
