import type { AttentionBlock, MlpBlock } from "../blocks.ts";
import { gelu } from "./s4d.ts";
import { linear, normalize, type Observer, sigmoid, type Weights } from "./steps.ts";

/*
 * A transformer's two halves, as GPT-2 has them (Radford et al. 2019): attention looks back at the keys and values of every position so
 * far, its own included; the MLP sees its own position only.
 */

/**
 * u += proj(softmax(q kᵀ / √c) v), head by head, c = dim / heads.
 * @param grow appends this position's k then v to the state and gives all rows so far, (positions, 2·dim)
 */
export function attentionStep(
  block: AttentionBlock,
  weights: Weights,
  grow: (kv: Float64Array) => Float64Array,
  u: Float64Array,
  observe?: Observer,
): void {
  const { dim, heads } = block;
  const width = dim / heads;
  const qkv = linear(block.qkv, weights, normalize(block.norm, weights, u), observe);
  const kv = grow(qkv.subarray(dim));
  const positions = kv.length / (2 * dim);
  const y = new Float64Array(dim);
  for (let first = 0; first < dim; first += width) {
    const p = new Float64Array(positions);
    for (let t = 0; t < positions; t++) {
      for (let c = first; c < first + width; c++) p[t]! += qkv[c]! * kv[t * 2 * dim + c]!;
    }
    softmax(p, 1 / Math.sqrt(width));
    for (let t = 0; t < positions; t++) {
      for (let c = first; c < first + width; c++) y[c]! += p[t]! * kv[t * 2 * dim + dim + c]!;
    }
  }
  const out = linear(block.proj, weights, y, observe);
  for (let i = 0; i < dim; i++) u[i]! += out[i]!;
}

/** p ← softmax(scale · p), in place. */
function softmax(p: Float64Array, scale: number): void {
  let max = -Infinity;
  for (const v of p) max = Math.max(max, v);
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    p[i] = Math.exp(scale * (p[i]! - max));
    sum += p[i]!;
  }
  for (let i = 0; i < p.length; i++) p[i]! /= sum;
}

/** u += down(gelu(up(norm(u)))). */
export function mlpStep(block: MlpBlock, weights: Weights, u: Float64Array, observe?: Observer): void {
  const hidden = linear(block.up, weights, normalize(block.norm, weights, u), observe).map(
    block.gelu === "exact" ? gelu : geluTanh,
  );
  const out = linear(block.down, weights, hidden, observe);
  for (let i = 0; i < u.length; i++) u[i]! += out[i]!;
}

/** v/2 (1 + tanh(√(2/π) (v + 0.044715 v³))): Hendrycks & Gimpel 2016, the approximation that GPT-2 trained with. */
export function geluTanh(v: number): number {
  return v * sigmoid(2 * Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3));
}
