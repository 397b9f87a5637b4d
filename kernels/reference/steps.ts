import type { Linear, MambaBlock, Norm, S4MambaBlock } from "../blocks.ts";

/**
 * The arithmetic as the papers write it: one function a step, f64 throughout, no regard for speed.
 *
 * Letters (Gu & Dao 2023, arXiv 2312.00752): u residual stream (dim), x and z the two halves of in_proj (inner), Δ the step size `dt`
 * (inner), A (inner, N), B and C (N) chosen by the input, D the skip (inner), h the state (inner, N), y its output (inner).
 */

/** Decoded values of a tensor, row-major. */
export type Weights = (tensor: string) => Float32Array;

/** State of one Mamba block: conv (conv − 1, inner) oldest first, ssm (inner, N). S4D has no conv, and pairs in its ssm. */
export interface ConvState {
  readonly conv: Float64Array;
  readonly ssm: Float64Array;
}

/**
 * Hears of each vector that a matrix is multiplied by, under the matrix's name: what a quantizer wants to know. What it returns is multiplied
 * instead: so a test can round activations as another backend does.
 */
export type Observer = (weight: string, x: Float64Array) => Float64Array | undefined;

/** y = W x + b; W (rows, cols). */
export function linear(l: Linear, weights: Weights, given: Float64Array, observe?: Observer): Float64Array {
  const x = observe?.(l.weight, given) ?? given;
  const W = weights(l.weight);
  const b = l.bias === undefined ? undefined : weights(l.bias);
  const rows = W.length / x.length;
  const y = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    let sum = b === undefined ? 0 : b[r]!;
    for (let c = 0; c < x.length; c++) sum += W[r * x.length + c]! * x[c]!;
    y[r] = sum;
  }
  return y;
}

/** rms: u / sqrt(mean(u²) + eps) · weight.  layer: (u − mean(u)) / sqrt(var(u) + eps) · weight + bias. */
export function normalize(norm: Norm, weights: Weights, u: Float64Array): Float64Array {
  const w = weights(norm.weight);
  if (norm.type === "layer") {
    const b = weights(norm.bias);
    const mean = u.reduce((a, v) => a + v, 0) / u.length;
    const variance = u.reduce((a, v) => a + (v - mean) ** 2, 0) / u.length;
    return u.map((v, i) => ((v - mean) / Math.sqrt(variance + norm.eps)) * w[i]! + b[i]!);
  }
  let squares = 0;
  for (const v of u) squares += v * v;
  const scale = 1 / Math.sqrt(squares / u.length + norm.eps);
  return u.map((v, i) => v * scale * w[i]!);
}

/** 1 / (1 + e⁻ᵛ). */
export function sigmoid(v: number): number {
  return 1 / (1 + Math.exp(-v));
}

/** v · σ(v). */
export function silu(v: number): number {
  return v / (1 + Math.exp(-v));
}

/** log(1 + eᵛ), without overflow for large v or loss of digits for very negative v. */
export function softplus(v: number): number {
  return Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));
}

/** x_t ← silu(Σ_k w[:, k] · x_{t−K+1+k} + b), and the window moves on by one. */
export function causalConv(
  block: Pick<MambaBlock | S4MambaBlock, "inner" | "conv" | "convWeight" | "convBias">,
  weights: Weights,
  state: ConvState,
  x: Float64Array,
): Float64Array {
  const { inner, conv: K } = block;
  const w = weights(block.convWeight);
  const b = block.convBias === undefined ? undefined : weights(block.convBias);
  const out = new Float64Array(inner);
  for (let i = 0; i < inner; i++) {
    let sum = b === undefined ? 0 : b[i]!;
    for (let k = 0; k < K - 1; k++) sum += w[i * K + k]! * state.conv[k * inner + i]!;
    out[i] = silu(sum + w[i * K + K - 1]! * x[i]!);
  }
  state.conv.copyWithin(0, inner);
  if (K > 1) state.conv.set(x, (K - 2) * inner);
  return out;
}

/** h ← exp(Δ A) h + Δ B x,  y = C h + D x: zero-order hold for A, Euler for B, as the reference implementation does. */
export function selectiveScan(
  block: MambaBlock,
  weights: Weights,
  h: Float64Array,
  x: Float64Array,
  dt: Float64Array,
  B: Float64Array,
  C: Float64Array,
): Float64Array {
  const { inner, state: N } = block;
  const A = weights(block.A);
  const D = weights(block.D);
  const y = new Float64Array(inner);
  for (let i = 0; i < inner; i++) {
    let sum = D[i]! * x[i]!;
    for (let n = 0; n < N; n++) {
      const j = i * N + n;
      h[j] = Math.exp(dt[i]! * A[j]!) * h[j]! + dt[i]! * B[n]! * x[i]!;
      sum += C[n]! * h[j]!;
    }
    y[i] = sum;
  }
  return y;
}

/** One token through a Mamba block: u += out_proj(scan(conv(x)) · silu(z)). Changes u and the state. */
export function mambaStep(
  block: MambaBlock,
  weights: Weights,
  state: ConvState,
  u: Float64Array,
  observe?: Observer,
): void {
  const { inner, dtRank: R, state: N } = block;
  const xz = linear(block.inProj, weights, normalize(block.norm, weights, u), observe);
  const x = causalConv(block, weights, state, xz.subarray(0, inner));
  const z = xz.subarray(inner);
  const dtBC = linear({ weight: block.xProj }, weights, x, observe);
  const dt = linear(block.dtProj, weights, dtBC.subarray(0, R), observe).map(softplus);
  const y = selectiveScan(block, weights, state.ssm, x, dt, dtBC.subarray(R, R + N), dtBC.subarray(R + N));
  const out = linear(
    block.outProj,
    weights,
    y.map((v, i) => v * silu(z[i]!)),
    observe,
  );
  for (let i = 0; i < u.length; i++) u[i]! += out[i]!;
}

/** log p(target) under softmax(logits), natural. */
export function logProbability(logits: Float64Array, target: number): number {
  let max = -Infinity;
  for (const v of logits) max = Math.max(max, v);
  let sum = 0;
  for (const v of logits) sum += Math.exp(v - max);
  return logits[target]! - max - Math.log(sum);
}
