/** A point that the visitor drew. */
export interface Point {
  x: number;
  y: number;
}

/** A line's features, as the models saw them in training: what of x is not used is 0. The second one gives the line its height. */
export function features(x: number, width: number): number[] {
  return Array.from({ length: width }, (_, i) => (i === 0 ? x : i === 1 ? 1 : 0));
}

/**
 * Least squares on the same features: y ≈ a·x + b, the shortest (a, b) where several fit best; without b where models take one number.
 * @returns the prediction of an x; 0 without points
 */
export function leastSquares(points: readonly Point[], width: number): (x: number) => number {
  const n = points.length;
  if (n === 0) return () => 0;
  const sum = (value: (p: Point) => number): number => points.reduce((total, p) => total + value(p), 0);
  const [xx, xy] = [sum(({ x }) => x * x), sum(({ x, y }) => x * y)];
  if (width === 1) return (x) => (xx === 0 ? 0 : (xy / xx) * x);
  const [sx, sy] = [sum(({ x }) => x), sum(({ y }) => y)];
  const determinant = n * xx - sx * sx;
  if (determinant > 1e-9 * n * xx) {
    const a = (n * xy - sx * sy) / determinant;
    const b = (sy - a * sx) / n;
    return (x) => a * x + b;
  }
  // All at one x: the shortest of the lines through their mean.
  const [x0, y0] = [sx / n, sy / n];
  const scale = y0 / (x0 * x0 + 1);
  return (x) => scale * (x0 * x + 1);
}
