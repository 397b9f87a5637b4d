import { describe, expect, test } from "vitest";
import { bucketOf, decay, decayIn, exp, log, REACH } from "../../worker/engine/exact-math.ts";
import { draw } from "../../worker/engine/random.ts";

const relative = (seen: number, want: number) => Math.abs(seen - want) / Math.abs(want);

/** The largest relative difference over the arguments. */
function worst(xs: number[], seen: (x: number) => number, want: (x: number) => number): number {
  return Math.max(...xs.map((x) => relative(seen(x), want(x))));
}

describe("against Math", () => {
  const uniform = Array.from({ length: 50_000 }, (_, i) => draw(1, i));

  test("exp within 4.5e-16", () => {
    expect(
      worst(
        uniform.map((u) => -700 * u ** 3),
        exp,
        Math.exp,
      ),
    ).toBeLessThan(4.5e-16);
  });

  test("log within 4.5e-16", () => {
    expect(
      worst(
        uniform.map((u) => 1 + 2 ** (60 * u - 20)),
        log,
        Math.log,
      ),
    ).toBeLessThan(4.5e-16);
  });

  test("decay within 5e-16, at the edges of its buckets too", () => {
    const edges = Array.from({ length: REACH * 32 }, (_, i) => i / 32);
    const xs = [...edges, ...edges.slice(1).map((x) => x * (1 - 2 ** -53)), ...uniform.map((u) => u * REACH)];
    expect(worst(xs, decay, (x) => Math.exp(-x))).toBeLessThan(5e-16);
    expect(worst(xs, (x) => decayIn(bucketOf(x), x), decay)).toBe(0);
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

test("the bits are these on every host", () => {
  const bits = (x: number) => new BigUint64Array(Float64Array.of(x).buffer)[0]!.toString(16);
  expect([exp(-1), exp(-37.25), log(10), decay(0), decay(1), decay(37.26)].map(bits)).toEqual([
    "3fd78b56362cef38",
    "3c93278bcd70e981",
    "40026bb1bbb55516",
    "3ff0000000000000",
    "3fd78b56362cef38",
    "3c92f6c147faf8b7",
  ]);
});
