import { describe, expect, test } from "vitest";
import { draw, philox4x32, randomSeed } from "../../worker/engine/random.ts";
import vectors from "./random-vectors.json" with { type: "json" };

describe("philox4x32", () => {
  // Random123 1.14, tests/kat_vectors, lines "philox4x32 10"
  test.each([
    { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ] as const)("counter $counter and key $key as its authors have it", ({ counter, key, words }) => {
    expect(philox4x32([...counter], [...key])).toEqual(words);
  });
});

describe("draw", () => {
  test("gives the vectors shared with the GPU", () => {
    expect(vectors.draws.length).toBeGreaterThan(40);
    for (const { seed, position, word, numerator } of vectors.draws) {
      expect(numerator).toBe(word >>> 8);
      expect(draw(seed, position), `seed ${seed}, position ${position}`).toBe(numerator / 2 ** 24);
    }
  });

  test("is a multiple of 2^-24 in [0, 1), exact in f32", () => {
    for (let position = 0; position < 10_000; position++) {
      const u = draw(7, position);
      expect(u >= 0 && u < 1 && Number.isInteger(u * 2 ** 24) && Math.fround(u) === u).toBe(true);
    }
  });

  const N = 100_000;
  // Positions of one sequence, seeds at one position, and both beyond 32 bits.
  const streams: { title: string; at: (i: number) => number }[] = [
    { title: "positions", at: (i) => draw(0, i) },
    { title: "positions of a large seed", at: (i) => draw(2 ** 53 - 1, i) },
    { title: "seeds", at: (i) => draw(i, 5) },
    { title: "positions beyond 2^32", at: (i) => draw(1, i * 2 ** 32 + 3) },
    { title: "seeds beyond 2^32", at: (i) => draw(i * 2 ** 32, 3) },
  ];

  describe.each(streams)("over $title", ({ at }) => {
    const values = Float64Array.from({ length: N }, (_, i) => at(i));

    test("is uniform: chi² over 256 bins of the high and of the low bits", () => {
      for (const bin of [(u: number) => Math.floor(u * 256), (u: number) => (u * 2 ** 24) & 255]) {
        const counts = new Float64Array(256);
        for (const u of values) counts[bin(u)]!++;
        const chi2 = counts.reduce((sum, count) => sum + (count - N / 256) ** 2 / (N / 256), 0);
        // 255 degrees of freedom: mean 255, standard deviation 22.6
        expect(Math.abs(chi2 - 255)).toBeLessThan(5 * 22.6);
      }
    });

    test("neighbours do not correlate, up to 8 apart", () => {
      for (let lag = 1; lag <= 8; lag++) {
        let sum = 0;
        for (let i = lag; i < N; i++) sum += (values[i]! - 0.5) * (values[i - lag]! - 0.5);
        expect(Math.abs((sum / (N - lag)) * 12)).toBeLessThan(5 / Math.sqrt(N));
      }
    });

    test("pairs of neighbours fill the square: chi² over 16 × 16 cells", () => {
      const counts = new Float64Array(256);
      for (let i = 0; i + 1 < N; i += 2) counts[Math.floor(values[i]! * 16) * 16 + Math.floor(values[i + 1]! * 16)]!++;
      const chi2 = counts.reduce((sum, count) => sum + (count - N / 512) ** 2 / (N / 512), 0);
      expect(Math.abs(chi2 - 255)).toBeLessThan(5 * 22.6);
    });
  });

  test("every bit of seed and position changes every bit of the result half of the time", () => {
    const trials = 1000;
    for (let bit = 0; bit < 106; bit++) {
      const flips = new Float64Array(24);
      const flip = (value: number, by: number) =>
        Math.floor(value / 2 ** by) % 2 === 0 ? value + 2 ** by : value - 2 ** by;
      for (let i = 0; i < trials; i++) {
        const before = draw(i, 1000 + i) * 2 ** 24;
        const after = (bit < 53 ? draw(flip(i, bit), 1000 + i) : draw(i, flip(1000 + i, bit - 53))) * 2 ** 24;
        for (let out = 0; out < 24; out++) flips[out]! += ((before ^ after) >> out) & 1;
      }
      for (const count of flips) expect(Math.abs(count / trials - 0.5)).toBeLessThan(5.5 * (0.5 / Math.sqrt(trials)));
    }
  });

  test.each([
    [-1, 0],
    [0.5, 0],
    [2 ** 53, 0],
    [Number.NaN, 0],
    [0, -1],
    [0, 1.5],
    [0, 2 ** 53],
  ])("refuses seed %d, position %d", (seed, position) => {
    expect(() => draw(seed, position)).toThrow(RangeError);
  });
});

test("randomSeed gives safe integers that use all 53 bits and do not repeat", () => {
  const seeds = Array.from({ length: 1000 }, randomSeed);
  expect(seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0)).toBe(true);
  expect(new Set(seeds).size).toBe(1000);
  for (let bit = 0; bit < 53; bit++) {
    const ones = seeds.filter((seed) => Math.floor(seed / 2 ** bit) % 2 === 1).length;
    expect(Math.abs(ones - 500)).toBeLessThan(100);
  }
});
