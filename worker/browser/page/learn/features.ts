/** A point that the visitor drew. */
export interface Point {
  readonly x: number;
  readonly y: number;
  /** Drawn from N(0, 1) with the point: what an input that says nothing of y may hold. */
  readonly noise: readonly number[];
}

/**
 * How an x becomes the numbers that a model is fed. In each of them the second feature, a constant, gives a line its height.
 *
 * - `zeros`: x, 1, 0, 0, …
 * - `spread`: x and 1 along two directions at right angles that have a part in every number.
 * - `noise`: x, 1, and numbers that say nothing of y, as it is at the end of training, when all inputs differ in every example.
 */
export type Layout = "zeros" | "spread" | "noise";

const MOST_INPUTS = 64;

export function newPoint(x: number, y: number): Point {
  return { x, y, noise: Array.from({ length: MOST_INPUTS }, normal) };
}

/** @param noise of an example; a question has none: what is asked is the line itself */
export function features(x: number, width: number, layout: Layout = "zeros", noise: readonly number[] = []): number[] {
  const one = width > 1 ? 1 : 0;
  return Array.from({ length: width }, (_, i) => {
    if (layout === "spread" && width > 1) {
      // As many + as − signs; of an odd width the last number is left out.
      const even = width - (width % 2);
      return i < even ? (x + (i % 2 === 0 ? 1 : -1)) / Math.sqrt(even) : 0;
    }
    if (i === 0) return x;
    if (i === 1) return one;
    return layout === "noise" ? (noise[i % MOST_INPUTS] ?? 0) : 0;
  });
}

/**
 * Least squares of y on all features, the shortest weights where several fit best.
 * @param rows (n, width)
 * @returns the prediction of a row; 0 without examples
 */
export function leastSquares(
  rows: readonly (readonly number[])[],
  ys: readonly number[],
): (row: readonly number[]) => number {
  // (R Rᵀ + ε)⁻¹ y on the side that is smaller: as ε vanishes Rᵀ of it is the shortest solution.
  const width = rows[0]?.length ?? 0;
  const columns = Array.from({ length: width }, (_, j) => rows.map((row) => row[j]!));
  const wide = rows.length <= width;
  const gram = wide ? products(rows) : products(columns);
  const scale = Math.max(...gram.map((row, i) => row[i]!), 1e-12);
  for (const [i, row] of gram.entries()) row[i]! += 1e-9 * scale;
  const solved = solve(gram, wide ? [...ys] : columns.map((column) => dot(column, ys)));
  const weights = wide ? columns.map((column) => dot(column, solved)) : solved;
  return (row) => dot(row, weights);
}

function products(rows: readonly (readonly number[])[]): number[][] {
  return rows.map((a) => rows.map((b) => dot(a, b)));
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, v, i) => sum + v * (b[i] ?? 0), 0);
}

/** a x = b by elimination; a (n, n) is positive definite, and both are overwritten. */
function solve(a: number[][], b: number[]): number[] {
  const n = b.length;
  for (let k = 0; k < n; k++) {
    for (let i = k + 1; i < n; i++) {
      const factor = a[i]![k]! / a[k]![k]!;
      for (let j = k; j < n; j++) a[i]![j]! -= factor * a[k]![j]!;
      b[i]! -= factor * b[k]!;
    }
  }
  for (let k = n - 1; k >= 0; k--) {
    for (let j = k + 1; j < n; j++) b[k]! -= a[k]![j]! * b[j]!;
    b[k]! /= a[k]![k]!;
  }
  return b;
}

/** Box and Muller. */
function normal(): number {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
