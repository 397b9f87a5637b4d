import type { S4d, S4dBlock, S4MambaBlock } from "../blocks.ts";
import { type ConvState, causalConv, linear, normalize, type Observer, sigmoid, type Weights } from "./steps.ts";

/**
 * S4D (Gu, Gupta, Goel & Ré 2022, arXiv 2206.11893) one step at a time: h ← Ā h + x,  y = Re(Σ_n C̄_n h_n) + D x, complex in Ā, C̄ and h.
 * With zero states to begin with, unrolling it gives the convolution y = K * x + D x, K_t = Re(Σ_n C̄_n Ā_nᵗ).
 * @param h (channels, state, 2), changed
 */
export function s4dScan(s4d: S4d, weights: Weights, h: Float64Array, x: Float64Array): Float64Array {
  const { state: N } = s4d;
  const [A, C, D] = [weights(s4d.decay), weights(s4d.C), weights(s4d.D)];
  return x.map((v, i) => {
    let y = D[i]! * v;
    for (let j = 2 * N * i; j < 2 * N * (i + 1); j += 2) {
      const [re, im] = [h[j]!, h[j + 1]!];
      h[j] = A[j]! * re - A[j + 1]! * im + v;
      h[j + 1] = A[j]! * im + A[j + 1]! * re;
      y += C[j]! * h[j]! - C[j + 1]! * h[j + 1]!;
    }
    return y;
  });
}

/** a, b = mix(gelu(s4d(norm(u)))), u += a · σ(b). */
export function s4dStep(
  block: S4dBlock,
  weights: Weights,
  ssm: Float64Array,
  u: Float64Array,
  observe?: Observer,
): void {
  const y = s4dScan(block.s4d, weights, ssm, normalize(block.norm, weights, u)).map(gelu);
  const ab = linear(block.mix, weights, y, observe);
  for (let i = 0; i < block.dim; i++) u[i]! += ab[i]! * sigmoid(ab[block.dim + i]!);
}

/** x, z = inProj(norm(u)), u += outProj(s4d(silu(conv(x))) · z). */
export function s4MambaStep(
  block: S4MambaBlock,
  weights: Weights,
  state: ConvState,
  u: Float64Array,
  observe?: Observer,
): void {
  const { inner } = block;
  const xz = linear(block.inProj, weights, normalize(block.norm, weights, u), observe);
  const x = causalConv(block, weights, state, xz.subarray(0, inner));
  const y = s4dScan(block.s4d, weights, state.ssm, x);
  const out = linear(
    block.outProj,
    weights,
    y.map((v, i) => v * xz[inner + i]!),
    observe,
  );
  for (let i = 0; i < u.length; i++) u[i]! += out[i]!;
}

/** v Φ(v), Φ the normal distribution's cumulative probability. */
export function gelu(v: number): number {
  return (v / 2) * (1 + erf(v / Math.SQRT2));
}

/** 2/√π ∫₀ᵛ e^(−t²) dt = 2/√π e^(−v²) Σ_k 2ᵏ v^(2k+1) / (2k+1)!!, all of one sign, so that no digits are lost. */
export function erf(v: number): number {
  if (Math.abs(v) > 6) return Math.sign(v);
  let [term, sum] = [v, v];
  for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum); k++) {
    term *= (2 * v * v) / (2 * k + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-v * v) * sum;
}
