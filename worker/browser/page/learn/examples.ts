import { RANGE } from "./board.ts";
import { features, type Layout, leastSquares, newPoint, type Point } from "./features.ts";

/** With numbers that say nothing of y a line takes more examples than there are numbers, and no more than the study's prompts have. */
const COUNT: Readonly<Record<Layout, number>> = { zeros: 12, spread: 12, noise: 40 };

/** Points about a line. */
export function noisyLine(layout: Layout): Point[] {
  const [slope, height] = [6 * Math.random() - 3, 4 * Math.random() - 2];
  return Array.from({ length: COUNT[layout] }, () => {
    const x = (2 * Math.random() - 1) * 2;
    return newPoint(x, slope * x + height + 0.9 * (Math.random() - 0.5));
  });
}

/** One more point, somewhere about the line that those there lie about; about 0 where there are none. */
export function onTheLine(points: readonly Point[]): Point {
  const line = leastSquares(
    points.map(({ x }) => features(x, 2)),
    points.map(({ y }) => y),
  );
  const x = (2 * Math.random() - 1) * 2;
  const y = line(features(x, 2)) + 0.9 * (Math.random() - 0.5);
  return newPoint(x, Math.max(-RANGE.y, Math.min(RANGE.y, y)));
}
