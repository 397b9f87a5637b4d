import type { Span } from "../backend.ts";
import type { Heap } from "./heap.ts";
import type { Kernels } from "./kernels.ts";
import { type Buffers, HEAD_UNIT, type Projection } from "./layout.ts";
import { type Flight, prepareInput, projectionKernel } from "./steps.ts";
import { rowAddress } from "./tensors.ts";

/** What is wanted of the head, position by position of the pass. */
export interface Wanted {
  /** indices of tokens of the pass, ascending. */
  readonly positions: number[];
  /** row of the logits that a position goes to, or −1. */
  readonly logitRows: number[];
  /** whose log-probability is wanted at a position, or −1. */
  readonly targets: number[];
  readonly logitCount: number;
}

export function wantedPositions(spans: readonly Span[], flights: readonly Flight[]): Wanted {
  const positions: number[] = [];
  const logitRows: number[] = [];
  const targets: number[] = [];
  let logitCount = 0;
  spans.forEach(({ logits = "none", targets: spanTargets }, s) => {
    const { first, count } = flights[s]!;
    for (let t = logits === "all" || spanTargets !== undefined ? 0 : count - 1; t < count; t++) {
      const keeps = logits === "all" || (logits === "last" && t === count - 1);
      if (!keeps && spanTargets === undefined) continue;
      positions.push(first + t);
      logitRows.push(keeps ? logitCount++ : -1);
      targets.push(spanTargets === undefined ? -1 : spanTargets[t]!);
    }
  });
  return { positions, logitRows, targets, logitCount };
}

/**
 * Logits and log-probabilities of the wanted positions, a block of vocabulary rows at a time: all positions' logits never exist at once.
 * logits (logitCount, vocab) and logProbs (positions; only those with a target) are filled.
 */
export function runHead(
  kernels: Kernels,
  heap: Heap,
  buffers: Buffers,
  proj: Projection,
  wanted: Wanted,
  logits: Float32Array,
  logProbs: Float32Array,
): void {
  const { positions, logitRows, targets } = wanted;
  const count = positions.length;
  if (count === 0) return;
  const { matrix, bias } = proj;
  const vocab = matrix.rows;
  const x = gather(heap, buffers, positions);
  const input = prepareInput(kernels, buffers, proj, x, buffers.uStride, count);
  const kernel = projectionKernel(kernels, matrix);
  const scores = targets.some((t) => t >= 0);
  if (scores) beginTotals(heap, buffers, count);
  const stride = Math.floor(buffers.logitsLength / count / HEAD_UNIT) * HEAD_UNIT;
  for (let row = 0; row < vocab; row += stride) {
    const rows = Math.min(stride, vocab - row);
    const blockBias = bias === 0 ? 0 : bias + 4 * row;
    kernel(rowAddress(matrix, row), rows, matrix.cols, input, count, blockBias, buffers.logits, stride, 0);
    if (scores) kernels.log_sum_exp(buffers.logits, stride, count, rows, buffers.totals);
    const f32 = heap.f32;
    for (let i = 0; i < count; i++) {
      const at = buffers.logits / 4 + i * stride;
      const logitRow = logitRows[i]!;
      const target = targets[i]!;
      if (logitRow >= 0) logits.set(f32.subarray(at, at + rows), logitRow * vocab + row);
      if (target >= row && target < row + rows) logProbs[i] = f32[at + target - row]!;
    }
  }
  if (scores) endTotals(heap, buffers, targets, logProbs);
}

/** Address of the wanted tokens of u, in a row. */
function gather(heap: Heap, buffers: Buffers, positions: readonly number[]): number {
  const { u, uStride, x } = buffers;
  const first = positions[0]!;
  if (positions[positions.length - 1]! - first === positions.length - 1) return u + 4 * first * uStride;
  positions.forEach((position, i) => {
    const from = u / 4 + position * uStride;
    heap.f32.copyWithin(x / 4 + i * uStride, from, from + uStride);
  });
  return x;
}

function beginTotals(heap: Heap, buffers: Buffers, count: number): void {
  const totals = buffers.totals / 8;
  for (let i = 0; i < count; i++) {
    heap.f64[totals + 2 * i] = -1e30;
    heap.f64[totals + 2 * i + 1] = 0;
  }
}

/** log p = logit − max − log Σ e^(logit − max) */
function endTotals(heap: Heap, buffers: Buffers, targets: readonly number[], logProbs: Float32Array): void {
  const totals = buffers.totals / 8;
  targets.forEach((target, i) => {
    if (target < 0) return;
    logProbs[i] = logProbs[i]! - heap.f64[totals + 2 * i]! - Math.log(heap.f64[totals + 2 * i + 1]!);
  });
}
