import { describe, expect, test } from "vitest";
import { features, leastSquares, newPoint } from "../../worker/browser/page/learn/features.ts";

describe("least squares", () => {
  test.each([
    { points: [], width: 5, at: 1, y: 0 },
    { points: [[1, 2]], width: 5, at: 1, y: 2 },
    // The shortest weights: (1, 1).
    { points: [[1, 2]], width: 5, at: 0, y: 1 },
    { points: [[1, 2], [1, 4]], width: 2, at: 1, y: 3 }, // biome-ignore format: a case
    { points: [[0, 1], [2, 5]], width: 5, at: 3, y: 7 }, // biome-ignore format: a case
    { points: [[0, 0], [1, 1], [2, 1]], width: 5, at: 1, y: 2 / 3 }, // biome-ignore format: a case
    { points: [[2, 1], [4, 2]], width: 1, at: 6, y: 3 }, // biome-ignore format: a case
    { points: [[0, 1]], width: 1, at: 6, y: 0 },
  ])("of $points with $width features at $at is $y, spread or not", ({ points, width, at, y }) => {
    for (const layout of ["zeros", "spread"] as const) {
      const rows = points.map(([x]) => features(x!, width, layout));
      const fitted = leastSquares(
        rows,
        points.map(([, y]) => y!),
      );
      expect(fitted(features(at, width, layout))).toBeCloseTo(y, 5);
    }
  });

  test("among numbers that say nothing a line takes as many examples as there are numbers", () => {
    const points = Array.from({ length: 12 }, (_, i) => newPoint(Math.sin(7 * i), 2 * Math.sin(7 * i) - 1));
    const errorAfter = (count: number): number => {
      const rows = points.slice(0, count).map(({ x, noise }) => features(x, 8, "noise", noise));
      const fitted = leastSquares(
        rows,
        points.slice(0, count).map(({ y }) => y),
      );
      return Math.abs(fitted(features(1.5, 8, "noise")) - 2);
    };
    expect(errorAfter(5)).toBeGreaterThan(1e-3);
    expect(errorAfter(8)).toBeLessThan(1e-3);
    expect(errorAfter(12)).toBeLessThan(1e-5);
  });

  test("spread features are as long as the plain ones, at right angles, and use every number", () => {
    const [zero, one] = [features(0, 20, "spread"), features(1, 20, "spread")];
    const direction = one.map((v, i) => v - zero[i]!);
    const dot = (a: number[], b: number[]): number => a.reduce((sum, v, i) => sum + v * b[i]!, 0);
    expect(dot(zero, zero)).toBeCloseTo(1, 9);
    expect(dot(direction, direction)).toBeCloseTo(1, 9);
    expect(dot(zero, direction)).toBeCloseTo(0, 9);
    expect(features(0.5, 20, "spread").every((v) => v !== 0)).toBe(true);
  });
});
