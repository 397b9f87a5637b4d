import type { Kernels } from "./kernels.ts";
import type { Buffers } from "./layout.ts";
import type {
  PlacedAttention,
  PlacedBlock,
  PlacedMamba,
  PlacedMlp,
  PlacedNorm,
  PlacedS4d,
  PlacedS4dBlock,
  PlacedS4Mamba,
  Projection,
} from "./placed.ts";
import type { Place } from "./tensors.ts";

/** A span in flight: tokens first … first + count − 1 of the pass, the address of its state, and the positions before it. */
export interface Flight {
  readonly first: number;
  readonly count: number;
  readonly slot: number;
  readonly position: number;
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
    case "read-in":
      project(kernels, buffers, placed.proj, buffers.vectors, placed.inputs, tokens, u, uStride);
      break;
    case "positions":
      for (const { first, count, position } of flights)
        kernels.add_positions(placed.table, dim, position, count, u + 4 * first * uStride, uStride);
      break;
    case "norm":
      normalize(kernels, buffers, placed.norm, tokens, dim, u, uStride);
      break;
    case "attention":
      runAttention(kernels, buffers, placed, flights, tokens);
      break;
    case "mlp":
      runMlp(kernels, buffers, placed, tokens);
      break;
    case "s4d":
      runS4d(kernels, buffers, placed, flights, tokens);
      break;
    case "s4-mamba":
      runS4Mamba(kernels, buffers, placed, flights, tokens);
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
  normalize(kernels, buffers, m.norm, tokens, dim, x, uStride);
  project(kernels, buffers, m.inProj, x, uStride, tokens, xz, xzStride);
  convolve(kernels, buffers, m, conv, flights);
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

/** The block's convolution and silu: x of each token, out of xz. */
function convolve(
  kernels: Kernels,
  { x, xz }: Buffers,
  { convWeight, convBias, convState, channels, xzStride }: PlacedMamba | PlacedS4Mamba,
  width: number,
  flights: readonly Flight[],
): void {
  for (const { first, count, slot } of flights) {
    const [from, to] = [xz + 4 * first * xzStride, x + 4 * first * channels];
    kernels.causal_conv(from, xzStride, count, channels, width, convWeight, convBias, slot + convState, to, channels);
  }
}

/** u += proj(attention(qkv(norm(u)))). */
function runAttention(
  kernels: Kernels,
  buffers: Buffers,
  a: PlacedAttention,
  flights: readonly Flight[],
  tokens: number,
): void {
  const { u, uStride, x, xz, scores } = buffers;
  const { xzStride, width, block } = a;
  normalize(kernels, buffers, a.norm, tokens, block.dim, x, uStride);
  project(kernels, buffers, a.qkv, x, uStride, tokens, xz, xzStride);
  for (const { first, count, slot, position } of flights) {
    const [keys, values] = [slot + a.keys, slot + a.values];
    const [from, to] = [xz + 4 * first * xzStride, x + 4 * first * uStride];
    const { heads, capacity } = block;
    kernels.attention(from, xzStride, count, heads, width, position, capacity, keys, values, scores, to, uStride);
  }
  project(kernels, buffers, a.proj, x, uStride, tokens, u, uStride, 1);
}

/** u += down(gelu(up(norm(u)))). */
function runMlp(kernels: Kernels, buffers: Buffers, m: PlacedMlp, tokens: number): void {
  const { u, uStride, x, xz } = buffers;
  const { dim, hidden, gelu } = m.block;
  normalize(kernels, buffers, m.norm, tokens, dim, x, uStride);
  project(kernels, buffers, m.up, x, uStride, tokens, xz, m.xzStride);
  if (gelu === "exact") kernels.gelu(xz, m.xzStride, tokens, hidden);
  else kernels.gelu_tanh(xz, m.xzStride, tokens, hidden);
  project(kernels, buffers, m.down, xz, m.xzStride, tokens, u, uStride, 1);
}

/** a, b = mix(gelu(s4d(norm(u)))), u += a · σ(b). */
function runS4d(
  kernels: Kernels,
  buffers: Buffers,
  s: PlacedS4dBlock,
  flights: readonly Flight[],
  tokens: number,
): void {
  const { u, uStride, x, xz } = buffers;
  const { dim } = s.block;
  normalize(kernels, buffers, s.norm, tokens, dim, x, s.channels);
  scanS4d(kernels, buffers, s.s4d, s.channels, s.ssmState, flights, 0, 0);
  kernels.gelu(x, s.channels, tokens, dim);
  project(kernels, buffers, s.mix, x, s.channels, tokens, xz, s.xzStride);
  kernels.gated_add(xz, s.xzStride, tokens, dim, u, uStride);
}

/** u += outProj(s4d(silu(conv(x))) · z), where x, z = inProj(norm(u)). */
function runS4Mamba(
  kernels: Kernels,
  buffers: Buffers,
  m: PlacedS4Mamba,
  flights: readonly Flight[],
  tokens: number,
): void {
  const { u, uStride, x, xz } = buffers;
  const { dim, inner, conv } = m.block;
  normalize(kernels, buffers, m.norm, tokens, dim, x, uStride);
  project(kernels, buffers, m.inProj, x, uStride, tokens, xz, m.xzStride);
  convolve(kernels, buffers, m, conv, flights);
  scanS4d(kernels, buffers, m.s4d, m.channels, m.ssmState, flights, xz + 4 * inner, m.xzStride);
  project(kernels, buffers, m.outProj, x, m.channels, tokens, u, uStride, 1);
}

/** x ← s4d(x) · z, span by span; z at 0 stands for 1. */
function scanS4d(
  kernels: Kernels,
  { x }: Buffers,
  { decay, C, D, state }: PlacedS4d,
  channels: number,
  ssmState: number,
  flights: readonly Flight[],
  z: number,
  zStride: number,
): void {
  for (const { first, count, slot } of flights) {
    const [at, gate] = [x + 4 * first * channels, z === 0 ? 0 : z + 4 * first * zStride];
    kernels.s4d_scan(decay, C, D, slot + ssmState, at, channels, gate, zStride, at, count, channels, state);
  }
}

/** y = norm(u), y (tokens, yStride). */
function normalize(
  kernels: Kernels,
  { u, uStride }: Buffers,
  { type, weight, bias, eps }: PlacedNorm,
  tokens: number,
  dim: number,
  y: number,
  yStride: number,
): void {
  if (type === "rms") kernels.rms_norm(u, uStride, tokens, dim, weight, eps, y, yStride);
  else kernels.layer_norm(u, uStride, tokens, dim, weight, bias, eps, y, yStride);
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
  buffers: Pick<Buffers, "input">,
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
