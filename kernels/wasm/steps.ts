import type { Kernels } from "./kernels.ts";
import type { Buffers, PlacedBlock, PlacedMamba, Projection } from "./layout.ts";
import type { Place } from "./tensors.ts";

/** A span in flight: tokens first … first + count − 1 of the pass, and the address of its state. */
export interface Flight {
  readonly first: number;
  readonly count: number;
  readonly slot: number;
}

/** Runs one block, the head excepted, over all tokens of a pass. Projections take the spans together, so weights are read once. */
export function runBlock(
  kernels: Kernels,
  buffers: Buffers,
  placed: Exclude<PlacedBlock, { kind: "head" }>,
  flights: readonly Flight[],
  tokens: number,
  dim: number,
): void {
  const { u, uStride } = buffers;
  switch (placed.kind) {
    case "embedding": {
      const { offset, spec } = placed.table;
      kernels[`embed_${spec.encoding}`](offset, dim, buffers.tokens, tokens, u, uStride);
      break;
    }
    case "norm":
      kernels.rms_norm(u, uStride, tokens, dim, placed.norm.weight, placed.norm.eps, u, uStride);
      break;
    case "mamba":
      runMamba(kernels, buffers, placed, flights, tokens, dim);
      break;
  }
}

/** u += out_proj(scan(silu(conv(x))) · silu(z)), where x, z = in_proj(norm(u)). */
function runMamba(
  kernels: Kernels,
  buffers: Buffers,
  m: PlacedMamba,
  flights: readonly Flight[],
  tokens: number,
  dim: number,
): void {
  const { u, uStride, x, xz, dbc, dt } = buffers;
  const { channels, xzStride, dbcStride } = m;
  const { inner, dtRank, state, conv } = m.block;
  kernels.rms_norm(u, uStride, tokens, dim, m.norm.weight, m.norm.eps, x, uStride);
  project(kernels, buffers, m.inProj, x, uStride, tokens, xz, xzStride);
  for (const { first, count, slot } of flights) {
    kernels.causal_conv(
      xz + 4 * first * xzStride,
      xzStride,
      count,
      channels,
      conv,
      m.convWeight,
      m.convBias,
      slot + m.convState,
      x + 4 * first * channels,
      channels,
    );
  }
  project(kernels, buffers, m.xProj, x, channels, tokens, dbc, dbcStride);
  project(kernels, buffers, m.dtProj, dbc, dbcStride, tokens, dt, channels);
  kernels.softplus(dt, tokens * channels);
  for (const { first, count, slot } of flights) {
    const B = dbc + 4 * (first * dbcStride + dtRank);
    kernels.selective_scan(
      m.A,
      m.D,
      slot + m.ssmState,
      dt + 4 * first * channels,
      x + 4 * first * channels,
      channels,
      xz + 4 * (first * xzStride + inner),
      xzStride,
      B,
      B + 4 * state,
      dbcStride,
      x + 4 * first * channels,
      count,
      channels,
      state,
    );
  }
  project(kernels, buffers, m.outProj, x, channels, tokens, u, uStride, 1);
}

/** y = W x + b, or y += W x + b: x (tokens, stride), y (tokens, yStride). */
function project(
  kernels: Kernels,
  buffers: Buffers,
  projection: Projection,
  x: number,
  stride: number,
  tokens: number,
  y: number,
  yStride: number,
  accumulate = 0,
): void {
  const { matrix, bias } = projection;
  const input = prepareInput(kernels, buffers, projection, x, stride, tokens);
  projectionKernel(kernels, matrix)(
    matrix.offset,
    matrix.rows,
    matrix.cols,
    input,
    tokens,
    bias,
    y,
    yStride,
    accumulate,
  );
}

/** The kernel that multiplies by a matrix. Not looked up by a name put together: that would make a string for every call. */
export function projectionKernel(kernels: Kernels, { spec }: Place): Kernels["project_f32"] {
  if (spec.encoding === "q8") return kernels.project_q8;
  return spec.encoding === "q4" ? kernels.project_q4 : kernels.project_f32;
}

/** Brings x (tokens, stride) into the form that the projection's kernel reads; its address. */
export function prepareInput(
  kernels: Kernels,
  buffers: Buffers,
  { matrix }: Projection,
  x: number,
  stride: number,
  tokens: number,
): number {
  const { encoding } = matrix.spec;
  if (encoding === "f32" && tokens === 1) return x;
  const prepare = encoding === "f32" ? kernels.interleave : encoding === "q8" ? kernels.quantize : kernels.quantize_q4;
  prepare(x, stride, tokens, matrix.cols, buffers.input);
  return buffers.input;
}
