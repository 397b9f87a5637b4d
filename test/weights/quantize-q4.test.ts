import { describe, expect, test } from "vitest";
import { PackageError } from "../../weights/errors.ts";
import { bf16ToF32, type Q4Matrix } from "../../weights/layout.ts";
import { decodeTensor, encodeTensor, relativeRms } from "../../weights/quantize.ts";
import { type Q4Options, quantizeQ4 } from "../../weights/quantize-q4.ts";
import { values } from "./fixtures.ts";

/** Σ importance · (w − s·q)² of each row and group, and the matrix's own bounds. */
function costs(data: Float32Array, m: Q4Matrix, importance?: ArrayLike<number>): number[] {
  const groups = Math.ceil(m.cols / 32);
  const out = new Array<number>(m.rows * groups).fill(0);
  data.forEach((w, i) => {
    const col = i % m.cols;
    const group = Math.floor(i / m.cols) * groups + (col >> 5);
    const error = w - bf16ToF32(m.scales[group] as number) * (m.values[i] as number);
    out[group]! += (importance?.[col] ?? 1) * error * error;
  });
  return out;
}

const normal = (count: number, seed: number): Float32Array => {
  const u = values(2 * count, seed);
  return Float32Array.from({ length: count }, (_, i) => {
    const radius = Math.sqrt(-2 * Math.log(((u[2 * i] as number) + 1) / 2 + 1e-9));
    return radius * Math.cos(Math.PI * (u[2 * i + 1] as number));
  });
};
const decoded = (m: Q4Matrix, i: number): number =>
  bf16ToF32(m.scales[Math.floor(i / m.cols) * Math.ceil(m.cols / 32) + ((i % m.cols) >> 5)] as number) *
  (m.values[i] as number);
/** One group of 32 with the given weights in front of zeros. */
const group = (...weights: number[]): Float32Array => {
  const data = new Float32Array(32);
  data.set(weights);
  return data;
};

describe("the search", () => {
  const outliers = normal(23 * 100, 5).map((v, i) => (i % 29 === 0 ? 20 * v : v));
  const cases: { title: string; rows: number; cols: number; data: Float32Array; importance?: Float32Array }[] = [
    { title: "of one weight", rows: 1, cols: 1, data: Float32Array.of(0.3) },
    { title: "of uniform weights", rows: 9, cols: 33, data: values(9 * 33) },
    { title: "of normal weights", rows: 64, cols: 96, data: normal(64 * 96, 3) },
    { title: "of positive weights", rows: 7, cols: 64, data: values(7 * 64).map(Math.abs) },
    { title: "with outliers", rows: 23, cols: 100, data: outliers },
    { title: "by importance", rows: 23, cols: 100, data: outliers, importance: values(100, 9).map((v) => v ** 8) },
    { title: "where nothing is important", rows: 2, cols: 40, data: values(80), importance: new Float32Array(40) },
    { title: "at 1e30", rows: 5, cols: 70, data: normal(350, 4).map((v) => 1e30 * v) },
    { title: "at 1e-30", rows: 5, cols: 70, data: normal(350, 4).map((v) => 1e-30 * v) },
    { title: "at all sizes", rows: 5, cols: 70, data: normal(350, 4).map((v, i) => v * 10 ** ((i % 61) - 30)) },
  ];
  test.each(cases)("$title is in no group worse than scales from the largest weights", ({
    rows,
    cols,
    data,
    importance,
  }) => {
    const plain = quantizeQ4(rows, cols, data, { search: false });
    const found = quantizeQ4(rows, cols, data, { importance });
    const before = costs(data, plain, importance);
    costs(data, found, importance).forEach((cost, i) => {
      expect(cost, `group ${i}`).toBeLessThanOrEqual(before[i]! * (1 + 1e-12));
    });
    for (const m of [plain, found]) {
      expect(m.values.every((q) => q >= -8 && q <= 7)).toBe(true);
      expect(m.scales.every((s) => Number.isFinite(bf16ToF32(s)))).toBe(true);
      expect(m.scales.every((s) => s === 0 || (s & 0x7fff) >= 0x80)).toBe(true);
    }
  });

  test("takes an eighth off the error of normal weights, and more where importance is uneven", () => {
    const data = normal(64 * 256, 8);
    const importance = values(256, 4).map((v) => v ** 6);
    const error = (options: Q4Options, by?: ArrayLike<number>): number =>
      relativeRms(data, decodeTensor([64, 256], "q4", encodeTensor("w", [64, 256], data, "q4", options)), by);
    const found = error({});
    expect(found).toBeLessThan((7 / 8) * error({ search: false }));
    expect(found).toBeGreaterThan(0.05);
    expect(error({ importance }, importance)).toBeLessThan(0.95 * error({}, importance));
  });

  test("rounds to the scale as stored: every integer is the nearest one that its bf16 allows", () => {
    const data = normal(16 * 64, 6);
    const m = quantizeQ4(16, 64, data);
    data.forEach((w, i) => {
      const s = bf16ToF32(m.scales[i >> 5] as number);
      const q = m.values[i] as number;
      for (const other of [q - 1, q + 1].filter((v) => v >= -8 && v <= 7)) {
        expect(Math.abs(w - s * q)).toBeLessThanOrEqual(Math.abs(w - s * other) * (1 + 1e-12));
      }
    });
  });
});

describe("a group", () => {
  const cases: { title: string; weights: number[]; wanted: number[] }[] = [
    { title: "of zeros", weights: [], wanted: [] },
    { title: "of −8·s and 7·s is exact", weights: [-8, 7, 3, -1], wanted: [-8, 7, 3, -1] },
    { title: "of 8·s and −7·s is exact, by a negative scale", weights: [8, -7, 3, -1], wanted: [8, -7, 3, -1] },
    { title: "of −8·2⁻¹⁰⁰", weights: [-8 * 2 ** -100, 2 ** -100], wanted: [-8 * 2 ** -100, 2 ** -100] },
    { title: "of 8·2¹²⁰", weights: [8 * 2 ** 120, -(2 ** 121)], wanted: [8 * 2 ** 120, -(2 ** 121)] },
    { title: "with one outlier keeps it", weights: [1024, 0.001, -0.001], wanted: [1024, 0, 0] },
    { title: "too small for a normal scale is zero", weights: [1e-38, -3e-38], wanted: [0, 0] },
    { title: "just large enough is kept", weights: [-8 * 2 ** -126, 2 ** -126], wanted: [-8 * 2 ** -126, 2 ** -126] },
  ];
  test.each(cases)("$title", ({ weights, wanted }) => {
    const m = quantizeQ4(1, 32, group(...weights));
    expect(Array.from({ length: 32 }, (_, i) => decoded(m, i) + 0)).toEqual([...group(...wanted)]);
  });

  test("of 1e38 keeps a finite scale", () => {
    for (const w of [-1e38, 1e38]) {
      for (const search of [true, false]) {
        expect(decoded(quantizeQ4(1, 1, Float32Array.of(w), { search }), 0) / w).toBeCloseTo(1, 2);
      }
    }
  });

  test("without a search: scale = max|w| / 7 rounded up, no weight off by more than half of it", () => {
    const data = normal(9 * 40, 2);
    const m = quantizeQ4(9, 40, data, { search: false });
    for (let row = 0; row < 9; row++) {
      for (const [g, end] of [32, 40].entries()) {
        const weights = data.slice(row * 40 + 32 * g, row * 40 + end);
        const scale = bf16ToF32(m.scales[2 * row + g] as number);
        const exact = Math.max(...weights.map(Math.abs)) / 7;
        expect(scale).toBeGreaterThanOrEqual(exact * (1 - 2 ** -24));
        expect(scale).toBeLessThanOrEqual(exact * (1 + 2 ** -7));
        weights.forEach((w, i) => {
          expect(Math.abs(w - decoded(m, row * 40 + 32 * g + i))).toBeLessThanOrEqual((scale / 2) * (1 + 2 ** -20));
        });
      }
    }
  });
});

describe("importance that cannot be is refused by name", () => {
  const cases: { title: string; importance: number[]; message: RegExp }[] = [
    { title: "too short", importance: [1, 2], message: /tensor out: the importance of 3 columns is needed, got 2/ },
    { title: "negative", importance: [1, -2, 1], message: /tensor out: the importance of column 1 is -2/ },
    { title: "NaN", importance: [1, 1, Number.NaN], message: /column 2 is NaN: it must be finite and ≥ 0/ },
    { title: "infinite", importance: [Infinity, 1, 1], message: /column 0 is Infinity/ },
  ];
  test.each(cases)("$title", ({ importance, message }) => {
    const encode = () => encodeTensor("out", [2, 3], values(6), "q4", { importance });
    expect(encode).toThrow(PackageError);
    expect(encode).toThrow(message);
  });
});
