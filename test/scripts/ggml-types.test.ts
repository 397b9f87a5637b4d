import { describe, expect, test } from "vitest";
import { f32ToF16, getF16 } from "../../scripts/bench/peers/f16.ts";
import { decodeGgml, encodeGgml, type GgmlType } from "../../scripts/bench/peers/ggml-types.ts";
import { f16ToF32 } from "../../weights/dtype.ts";

describe("blocks", () => {
  test("Q8_0: the scale, then the integers in order", () => {
    const values = Float32Array.from({ length: 32 }, (_, i) => (i - 16) * 0.5);
    values[31] = 63.5;
    const bytes = encodeGgml("Q8_0", values);
    expect(getF16(bytes, 0)).toBe(0.5);
    expect([...new Int8Array(bytes.buffer, 2)]).toEqual([...values].map((v) => 2 * v));
    expect(decodeGgml("Q8_0", bytes)).toEqual(values);
  });

  test("Q4_0: the first 16 in the low halves, the others in the high ones, 8 being zero", () => {
    const values = Float32Array.from({ length: 32 }, (_, i) => ((i * 5) % 16) - 8);
    const bytes = encodeGgml("Q4_0", values);
    expect(getF16(bytes, 0)).toBe(1);
    for (let j = 0; j < 16; j++) expect(bytes[2 + j]).toBe((values[j]! + 8) | ((values[j + 16]! + 8) << 4));
    expect(decodeGgml("Q4_0", bytes)).toEqual(values);
  });

  test("Q4_0: the scale is negative when the largest is positive", () => {
    const bytes = encodeGgml(
      "Q4_0",
      Float32Array.from({ length: 32 }, (_, i) => i / 4),
    );
    expect(getF16(bytes, 0)).toBeLessThan(0);
    expect(decodeGgml("Q4_0", bytes)[31]).toBeCloseTo(7.75, 2);
  });

  test("Q6_K: four quarters of each 128 share the low halves and the high bits", () => {
    const bytes = new Uint8Array(210);
    bytes[208] = 0x00;
    bytes[209] = 0x3c; // d = 1
    bytes.fill(1, 192, 208);
    bytes[192 + 13] = 0xfe; // scale −2 of elements 208 to 223
    bytes[64 + 32 + 17] = 0x5a; // second half, l = 17: low halves of elements 128 + 32 + 17 and 128 + 96 + 17
    bytes[128 + 32 + 17] = 0b10_01_11_00; // and the high bits of elements 128 + 17, + 49, + 81, + 113
    const values = decodeGgml("Q6_K", bytes);
    expect(values[128 + 17]).toBe((0 | (0 << 4)) - 32);
    expect(values[128 + 49]).toBe((0xa | (3 << 4)) - 32);
    expect(values[128 + 81]).toBe(-2 * ((0 | (1 << 4)) - 32));
    expect(values[128 + 113]).toBe((0x5 | (2 << 4)) - 32);
  });

  test.each<GgmlType>(["Q8_0", "Q4_0", "Q6_K", "F16"])("%s: zeros stay zeros", (type) => {
    const zeros = new Float32Array(256);
    expect(decodeGgml(type, encodeGgml(type, zeros)).every((v) => v === 0)).toBe(true);
  });

  test("values that fill no block are refused", () => {
    expect(() => encodeGgml("Q6_K", new Float32Array(128))).toThrow(RangeError);
  });
});

describe("f16", () => {
  test("every finite half survives", () => {
    for (let half = 0; half < 0x10000; half++) {
      if ((half & 0x7c00) !== 0x7c00) expect(f32ToF16(f16ToF32(half))).toBe(half);
    }
  });

  test.each([
    [1 + 2 ** -11, 0x3c00, "ties to even, down"],
    [1 + 3 * 2 ** -11, 0x3c02, "ties to even, up"],
    [65519, 0x7bff, "the largest"],
    [65520, 0x7c00, "too large is infinite"],
    [-(2 ** -25), 0x8000, "half of the smallest ties to zero"],
    [1.5 * 2 ** -24, 0x0002, "subnormals tie to even too"],
    [Number.NaN, 0x7e00, "NaN"],
  ])("%f is %i: %s", (value, half) => {
    expect(f32ToF16(value)).toBe(half);
  });
});
