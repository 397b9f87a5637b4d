import { describe, expect, test } from "vitest";
import { bucketOf, decay, decayIn, exp, log, REACH } from "../../worker/engine/exact-math.ts";
import { draw } from "../../worker/engine/random.ts";

const relative = (seen: number, want: number) => Math.abs(seen - want) / Math.abs(want);

describe("against Math", () => {
  test("exp within 4.5e-16", () => {
    for (let i = 0; i < 100_000; i++) {
      const x = -700 * draw(1, i) ** 3;
      expect(relative(exp(x), Math.exp(x))).toBeLessThan(4.5e-16);
    }
  });

  test("log within 4.5e-16", () => {
    for (let i = 0; i < 100_000; i++) {
      const x = 1 + 2 ** (draw(2, i) * 60 - 20);
      expect(relative(log(x), Math.log(x))).toBeLessThan(4.5e-16);
    }
  });

  test("decay within 5e-16, at the edges of its buckets too", () => {
    const edges = Array.from({ length: REACH * 32 }, (_, i) => i / 32);
    const inside = Array.from({ length: 100_000 }, (_, i) => draw(3, i) * REACH);
    for (const x of [...edges, ...edges.slice(1).map((x) => x * (1 - 2 ** -53)), ...inside]) {
      expect(relative(decay(x), Math.exp(-x)), `x = ${x}`).toBeLessThan(5e-16);
      expect(decayIn(bucketOf(x), x)).toBe(decay(x));
    }
  });
});

test.each([
  { title: "exp(0)", seen: exp(0), want: 1 },
  { title: "log(1)", seen: log(1), want: 0 },
  { title: "log(2)", seen: log(2), want: Math.LN2 },
  { title: "decay(64)", seen: decay(64), want: 0 },
  { title: "decay(Infinity)", seen: decay(Number.POSITIVE_INFINITY), want: 0 },
])("$title is $want", ({ seen, want }) => {
  expect(seen).toBe(want);
});

test("decay(0) is 1 to the last bit but one", () => {
  expect(Math.abs(decay(0) - 1)).toBeLessThanOrEqual(2 ** -52);
});

test("the bits are the same on every host", () => {
  const bits = (x: number) => new BigUint64Array(Float64Array.of(x).buffer)[0]!.toString(16);
  expect([exp(-1), exp(-37.25), log(10), decay(0), decay(1), decay(37.26)].map(bits)).toEqual([]);
});
