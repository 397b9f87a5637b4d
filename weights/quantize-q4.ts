/** 4 bits: the scales that lose the least, found by trying some. */
import { bf16ToF32, f32ToBf16, f32ToBf16Up, GROUP, NORMAL_BF16, type Q4Matrix } from "./layout.ts";

export interface Q4Options {
  /** (cols) ≥ 0: what a squared error in each column costs. Default 1 for all. */
  readonly importance?: ArrayLike<number> | undefined;
  /** false takes scale = max|w| / 7, rounded up to bf16, without looking for a better one. */
  readonly search?: boolean | undefined;
}

/**
 * Multiples, to begin with, of the least scale at which nothing is clipped. Clipping a group's few largest weights often costs less than
 * a coarse step for all the others.
 */
const MULTIPLES = [0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1, 1.05];
/** least-squares steps from the best of them. */
const REFINEMENTS = 2;
/** Adding and taking away 1.5·2⁵² rounds a double to the nearest integer, ties to even, so that signs are treated alike. */
const ROUND = 1.5 * 2 ** 52;

/**
 * Per row and group of 32 columns: the scale s, a bf16 of either sign, that is best of those tried in Σ importance · (w − s·q)², where
 * q = round(w / s) clipped to −8..7. It is never worse than max|w| / 7. Weights too small for a normal scale become zero.
 * @param data (rows, cols) row-major, finite
 */
export function quantizeQ4(rows: number, cols: number, data: Float32Array, options: Q4Options = {}): Q4Matrix {
  const groups = Math.ceil(cols / GROUP);
  const values = new Int8Array(rows * cols);
  const scales = new Uint16Array(rows * groups);
  for (let g = 0; g < groups; g++) {
    const from = g * GROUP;
    const group = new Group(Math.min(GROUP, cols - from), from, options.importance);
    for (let row = 0; row < rows; row++) {
      const half = group.bestScale(data, row * cols + from, options.search ?? true);
      if (half === 0) continue;
      scales[row * groups + g] = half;
      group.round(bf16ToF32(half), values, row * cols + from);
    }
  }
  return { rows, cols, values, scales };
}

/** Weights that share a scale. */
class Group {
  readonly #w: Float64Array;
  readonly #importance: Float64Array;
  #best = 0;
  #leastCost = 0;

  constructor(size: number, from: number, importance: ArrayLike<number> | undefined) {
    this.#w = new Float64Array(size);
    this.#importance = Float64Array.from(this.#w, (_, i) => importance?.[from + i] ?? 1);
  }

  /** The bf16 found for the weights at `first`, 0 when they are too small for a normal one. */
  bestScale(data: Float32Array, first: number, search: boolean): number {
    const w = this.#w;
    let top = 0;
    let bottom = 0;
    for (let i = 0; i < w.length; i++) {
      const v = data[first + i] as number;
      w[i] = v;
      if (v > top) top = v;
      else if (-v > bottom) bottom = -v;
    }
    this.#best = 0;
    this.#leastCost = Infinity;
    this.#try(f32ToBf16Up(Math.max(top, bottom) / 7));
    if (!search || this.#best === 0) return this.#best;
    const positive = Math.max(top / 7, bottom / 8);
    const negative = -Math.max(top / 8, bottom / 7);
    for (const multiple of MULTIPLES) {
      this.#try(f32ToBf16(multiple * positive));
      this.#try(f32ToBf16(multiple * negative));
    }
    for (let i = 0; i < REFINEMENTS; i++) {
      if (!this.#try(f32ToBf16(this.#leastSquares(bf16ToF32(this.#best))))) break;
    }
    return this.#best;
  }

  /** Integers of the weights that `bestScale` read. */
  round(scale: number, values: Int8Array, first: number): void {
    const inverse = 1 / scale;
    for (let i = 0; i < this.#w.length; i++) values[first + i] = nearest((this.#w[i] as number) * inverse);
  }

  /** Whether a bf16 is better than what was tried before, and takes it if so. */
  #try(half: number): boolean {
    if ((half & 0x7fff) < NORMAL_BF16) return false;
    const w = this.#w;
    const importance = this.#importance;
    const scale = bf16ToF32(half);
    const inverse = 1 / scale;
    let cost = 0;
    for (let i = 0; i < w.length; i++) {
      const v = w[i] as number;
      const error = v - scale * nearest(v * inverse);
      cost += (importance[i] as number) * error * error;
    }
    if (!(cost < this.#leastCost)) return false;
    this.#leastCost = cost;
    this.#best = half;
    return true;
  }

  /** Σ importance·w·q / Σ importance·q²: best for the integers that a scale gives. */
  #leastSquares(scale: number): number {
    const inverse = 1 / scale;
    let wq = 0;
    let qq = 0;
    for (let i = 0; i < this.#w.length; i++) {
      const v = this.#w[i] as number;
      const q = nearest(v * inverse);
      wq += (this.#importance[i] as number) * v * q;
      qq += (this.#importance[i] as number) * q * q;
    }
    return qq === 0 ? scale : wq / qq;
  }
}

/** The nearest of −8..7. */
function nearest(v: number): number {
  const q = v + ROUND - ROUND;
  return q > 7 ? 7 : q < -8 ? -8 : q;
}
