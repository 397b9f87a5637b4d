import { describe, expect, test } from "vitest";
import {
  bf16ToF32,
  encodedBytes,
  f32ToBf16,
  f32ToBf16Up,
  packQ4,
  packQ8,
  type Q4Matrix,
  type Q8Matrix,
  q4Bytes,
  q4ElementOffset,
  q4TileOffset,
  q8Bytes,
  unpackQ4,
  unpackQ8,
} from "../../weights/layout.ts";
import { values } from "./fixtures.ts";

const SHAPES: [number, number][] = [
  [1, 1],
  [8, 32],
  [7, 31],
  [9, 33],
  [16, 64],
  [5, 100],
  [23, 3],
];

function matrix(rows: number, cols: number): Q8Matrix {
  const groups = Math.ceil(cols / 32);
  return {
    rows,
    cols,
    values: Int8Array.from(values(rows * cols), (v) => v * 127),
    scales: Uint16Array.from(values(rows * groups, 7), (v) => f32ToBf16(Math.abs(v) + 0.01)),
  };
}

/** The layout as its description says it, byte by byte. */
function naive(m: Q8Matrix): number[] {
  const out: number[] = [];
  const groups = Math.ceil(m.cols / 32);
  for (let tileRow = 0; tileRow < m.rows; tileRow += 8) {
    for (let g = 0; g < groups; g++) {
      for (let lane = 0; lane < 8; lane++) {
        const scale = tileRow + lane < m.rows ? (m.scales[(tileRow + lane) * groups + g] as number) : 0;
        out.push(scale & 0xff, scale >> 8);
      }
      for (let chunk = 0; chunk < 8; chunk++) {
        for (let lane = 0; lane < 8; lane++) {
          for (let i = 0; i < 4; i++) {
            const row = tileRow + lane;
            const col = g * 32 + chunk * 4 + i;
            out.push(row < m.rows && col < m.cols ? (m.values[row * m.cols + col] as number) & 0xff : 0);
          }
        }
      }
    }
  }
  return out;
}

describe("q8 tiles", () => {
  test.each(SHAPES)("%i×%i packs as described", (rows, cols) => {
    const m = matrix(rows, cols);
    const packed = packQ8(m);
    expect([...packed]).toEqual(naive(m));
    expect(packed.length).toBe(q8Bytes(rows, cols));
    expect(packed.length % 16).toBe(0);
  });

  test.each(SHAPES)("%i×%i unpacks to scale · integer", (rows, cols) => {
    const m = matrix(rows, cols);
    // Off an odd byte, as a shard's pieces may be.
    const shifted = new Uint8Array(q8Bytes(rows, cols) + 1);
    shifted.set(packQ8(m), 1);
    const unpacked = unpackQ8(shifted.subarray(1), rows, cols);
    const groups = Math.ceil(cols / 32);
    const expected = Array.from(m.values, (v, i) => {
      const scale = m.scales[Math.floor(i / cols) * groups + ((i % cols) >> 5)] as number;
      return Math.fround(bf16ToF32(scale) * v);
    });
    expect([...unpacked]).toEqual(expected);
  });
});

function q4Matrix(rows: number, cols: number): Q4Matrix {
  const groups = Math.ceil(cols / 32);
  return {
    rows,
    cols,
    values: Int8Array.from({ length: rows * cols }, (_, i) => ((i * 7 + (i >> 4)) % 16) - 8),
    scales: Uint16Array.from(values(rows * groups, 7), (v) => f32ToBf16(v < 0 ? v - 0.01 : v + 0.01)),
  };
}

/** The q4 layout as its description says it, byte by byte. */
function naiveQ4(m: Q4Matrix): number[] {
  const out: number[] = [];
  const groups = Math.ceil(m.cols / 32);
  const nibble = (row: number, col: number): number =>
    row < m.rows && col < m.cols ? (m.values[row * m.cols + col] as number) + 8 : 8;
  for (let tileRow = 0; tileRow < m.rows; tileRow += 8) {
    for (let g = 0; g < groups; g++) {
      for (let lane = 0; lane < 8; lane++) {
        const scale = tileRow + lane < m.rows ? (m.scales[(tileRow + lane) * groups + g] as number) : 0;
        out.push(scale & 0xff, scale >> 8);
      }
      for (let pair = 0; pair < 4; pair++) {
        for (let lane = 0; lane < 8; lane++) {
          for (let c = 0; c < 4; c++) {
            const col = g * 32 + 8 * pair + c;
            out.push(nibble(tileRow + lane, col) + 16 * nibble(tileRow + lane, col + 4));
          }
        }
      }
    }
  }
  return out;
}

describe("q4 tiles", () => {
  test.each(SHAPES)("%i×%i packs as described, padding is nibble 8 at scale 0", (rows, cols) => {
    const m = q4Matrix(rows, cols);
    const packed = packQ4(m);
    expect([...packed]).toEqual(naiveQ4(m));
    expect(packed.length).toBe(q4Bytes(rows, cols));
    expect(packed.length % 16).toBe(0);
  });

  test.each(SHAPES)("%i×%i unpacks to scale · integer, negative scales too", (rows, cols) => {
    const m = q4Matrix(rows, cols);
    const shifted = new Uint8Array(q4Bytes(rows, cols) + 1);
    shifted.set(packQ4(m), 1);
    const groups = Math.ceil(cols / 32);
    const expected = Array.from(m.values, (v, i) => {
      const scale = m.scales[Math.floor(i / cols) * groups + ((i % cols) >> 5)] as number;
      return Math.fround(bf16ToF32(scale) * v);
    });
    expect([...unpackQ4(shifted.subarray(1), rows, cols)]).toEqual(expected);
  });

  test("every element lies where the offsets say", () => {
    const [rows, cols] = [19, 71];
    const m = q4Matrix(rows, cols);
    const packed = packQ4(m);
    for (let row = 0; row < rows; row++) {
      for (let col = 0; col < cols; col++) {
        const byte = packed[q4TileOffset(row, col, cols) + q4ElementOffset(row, col)] as number;
        const nibble = (col & 4) === 0 ? byte & 15 : byte >> 4;
        expect(nibble - 8, `${row}, ${col}`).toBe(m.values[row * cols + col]);
      }
    }
  });

  test("takes 4.5 bits a weight", () => {
    expect((8 * q4Bytes(64, 256)) / (64 * 256)).toBe(4.5);
  });
});

describe("bf16", () => {
  test.each([
    { value: 1, nearest: 0x3f80, up: 0x3f80 },
    { value: 1 + 2 ** -8, nearest: 0x3f80, up: 0x3f81 }, // a tie goes to the even one
    { value: 1 + 3 * 2 ** -8, nearest: 0x3f82, up: 0x3f82 },
    { value: 1 + 2 ** -20, nearest: 0x3f80, up: 0x3f81 },
    { value: 0, nearest: 0, up: 0 },
    { value: 2 ** -149, nearest: 0, up: 1 },
    { value: 3e38, nearest: 0x7f62, up: 0x7f62 },
  ])("$value rounds to $nearest, up to $up", ({ value, nearest, up }) => {
    expect(f32ToBf16(value)).toBe(nearest);
    expect(f32ToBf16Up(value)).toBe(up);
  });

  test("NaN with only low bits set stays NaN", () => {
    const low = new Float32Array(new Uint32Array([0x7f800001]).buffer)[0] as number;
    expect(bf16ToF32(f32ToBf16(low))).toBeNaN();
    expect(bf16ToF32(f32ToBf16(Number.NEGATIVE_INFINITY))).toBe(Number.NEGATIVE_INFINITY);
  });
});

test("encodedBytes counts values for f32, tiles for q8 and q4, and refuses those of anything but matrices", () => {
  expect(encodedBytes([3, 5, 2], "f32")).toBe(120);
  expect(encodedBytes([9, 33], "q8")).toBe(4 * 272);
  expect(encodedBytes([9, 33], "q4")).toBe(4 * 144);
  expect(() => encodedBytes([9], "q8")).toThrow(/q8 is for matrices.*\(9\)/);
  expect(() => encodedBytes([9], "q4")).toThrow(/q4 is for matrices.*\(9\)/);
  expect(() => encodedBytes([2, 2, 2], "q8")).toThrow(RangeError);
});
