import { describe, expect, test } from "vitest";
import { PackageError } from "../../weights/errors.ts";
import { bf16ToF32 } from "../../weights/layout.ts";
import { decodeTensor, encodeTensor, quantizeQ8, relativeRms } from "../../weights/quantize.ts";
import { values } from "./fixtures.ts";

describe("q8", () => {
  test.each([
    [1, 1],
    [9, 33],
    [64, 100],
    [3, 64],
  ])("%i×%i: every weight within half a scale, scales within 2⁻⁷ of max/127, never −128", (rows, cols) => {
    const data = values(rows * cols).map((v, i) => v * 10 ** ((i % 7) - 3));
    const m = quantizeQ8(rows, cols, data);
    const groups = Math.ceil(cols / 32);
    for (let row = 0; row < rows; row++) {
      for (let g = 0; g < groups; g++) {
        const from = row * cols + g * 32;
        const group = data.slice(from, row * cols + Math.min(cols, g * 32 + 32));
        const scale = bf16ToF32(m.scales[row * groups + g] as number);
        const max = Math.max(...group.map(Math.abs));
        expect(scale).toBeGreaterThanOrEqual((max / 127) * (1 - 2 ** -24));
        expect(scale).toBeLessThanOrEqual((max / 127) * (1 + 2 ** -7));
        group.forEach((w, i) => {
          const q = m.values[from + i] as number;
          expect(Math.abs(q)).toBeLessThanOrEqual(127);
          expect(Math.abs(w - scale * q)).toBeLessThanOrEqual((scale / 2) * (1 + 2 ** -20));
        });
      }
    }
  });

  test("a positive and a negative weight of the same size become opposite integers, ties too", () => {
    const data = new Float32Array(32);
    data.set([127, -127, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 126.6, -126.6]);
    expect([...quantizeQ8(1, 32, data).values.slice(0, 10)]).toEqual([127, -127, 0, 0, 2, -2, 2, -2, 127, -127]);
  });

  test("relative RMS of normal weights is below 1%", () => {
    const uniform = values(2 * 64 * 256, 3);
    const data = Float32Array.from({ length: 64 * 256 }, (_, i) => {
      const u = ((uniform[2 * i] as number) + 1) / 2 + 1e-9;
      return Math.sqrt(-2 * Math.log(u)) * Math.cos(Math.PI * (uniform[2 * i + 1] as number));
    });
    const error = relativeRms(data, decodeTensor([64, 256], "q8", encodeTensor("w", [64, 256], data, "q8")));
    expect(error).toBeLessThan(0.01);
    expect(error).toBeGreaterThan(0.001);
  });

  test("weights too small for a normal scale, and zeros, become zero", () => {
    const data = new Float32Array(64).fill(1e-38);
    data.fill(0, 32);
    const m = quantizeQ8(2, 32, data);
    expect([...m.scales]).toEqual([0, 0]);
    expect(m.values.every((v) => v === 0)).toBe(true);
    expect(decodeTensor([2, 32], "q8", encodeTensor("w", [2, 32], data, "q8")).every((v) => v === 0)).toBe(true);
  });

  test("the largest f32 keeps a finite scale", () => {
    const decoded = decodeTensor([1, 1], "q8", encodeTensor("w", [1, 1], Float32Array.of(-3.4e38), "q8"));
    expect((decoded[0] as number) / -3.4e38).toBeCloseTo(1, 2);
  });
});

describe.each(["f32", "q8", "q4"] as const)("%s", (encoding) => {
  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])("%d is refused by name", (bad) => {
    const data = values(9 * 33);
    data[40] = bad;
    const encode = () => encodeTensor("layers.3.out", [9, 33], data, encoding);
    expect(encode).toThrow(PackageError);
    expect(encode).toThrow(`layers.3.out (9, 33): value 40 is ${bad}`);
  });

  test("data of another length than the shape is refused", () => {
    expect(() => encodeTensor("w", [9, 33], values(9 * 33 - 1), encoding)).toThrow(/needs 297 values, got 296/);
  });

  test("bytes of another length than the shape are refused", () => {
    const bytes = encodeTensor("w", [9, 33], values(9 * 33), encoding);
    expect(() => decodeTensor([9, 33], encoding, bytes.subarray(1))).toThrow(PackageError);
  });
});

test("f32 survives bit for bit, off any byte, and in memory of its own", () => {
  const data = values(12);
  const bytes = encodeTensor("w", [3, 4], data, "f32");
  const shifted = new Uint8Array(bytes.length + 1);
  shifted.set(bytes, 1);
  const decoded = decodeTensor([3, 4], "f32", shifted.subarray(1));
  expect(decoded).toEqual(data);
  shifted.fill(0);
  expect(decoded).toEqual(data);
  // Buffer.slice, unlike Uint8Array.slice, does not copy.
  expect(decodeTensor([3, 4], "f32", Buffer.from(bytes))).toEqual(data);
});

test.each(["q8", "q4"] as const)("%s of a vector is refused by name", (encoding) => {
  const message = new RegExp(`tensor norm: ${encoding} is for matrices`);
  expect(() => encodeTensor("norm", [4], values(4), encoding)).toThrow(message);
});

describe("relative RMS", () => {
  const cases: { title: string; source: number[]; decoded: number[]; importance?: number[]; error: number }[] = [
    { title: "of a copy is 0", source: [1, -2], decoded: [1, -2], error: 0 },
    { title: "of zeros is 0", source: [0, 0], decoded: [0, 0], error: 0 },
    { title: "of nothing kept is 1", source: [3, 4], decoded: [0, 0], error: 1 },
    { title: "is a ratio of lengths", source: [3, 4], decoded: [3, 3], error: 1 / 5 },
    {
      title: "sees no error where none counts",
      source: [3, 4, 5, 6],
      decoded: [3, 0, 5, 0],
      importance: [1, 0],
      error: 0,
    },
    { title: "weighs by column", source: [1, 1], decoded: [1, 0], importance: [3, 1], error: 1 / 2 },
  ];
  test.each(cases)("$title", ({ source, decoded, importance, error }) => {
    const rms = relativeRms(Float32Array.from(source), Float32Array.from(decoded), importance);
    expect(rms).toBeCloseTo(error, 12);
  });
});
