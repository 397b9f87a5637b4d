import { describe, expect, test } from "vitest";
import { bf16ToF32, f32ToBf16, GROUP, packQ4, packQ8, type Q8Matrix } from "../../weights/layout.ts";
import { quantizeQ8 } from "../../weights/quantize.ts";
import { differences, everyDots, KernelBox, randomF32, randomNumbers } from "./wasm-fixtures.ts";

const f = Math.fround;

/** What projection_q8.c and projection_q4.c mean, in the same order of f32 operations: int8 activations, exact integer dots, groups in order. */
function projectQ8(m: Q8Matrix, x: Float32Array, tokens: number): Float32Array {
  const groups = Math.ceil(m.cols / GROUP);
  const y = new Float32Array(tokens * m.rows);
  for (let t = 0; t < tokens; t++) {
    for (let g = 0; g < groups; g++) {
      const first = g * GROUP;
      const group = x.subarray(t * m.cols + first, t * m.cols + Math.min(m.cols, first + GROUP));
      const largest = group.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
      const scale = largest < 1e-20 ? 0 : f(largest * f(1 / 127));
      const inverse = largest < 1e-20 ? 0 : f(127 / largest);
      const q = Array.from(group, (v) => roundEven(f(v * inverse)));
      for (let r = 0; r < m.rows; r++) {
        const dot = q.reduce((sum, v, i) => sum + v * m.values[r * m.cols + first + i]!, 0);
        const weightScale = bf16ToF32(m.scales[r * groups + g]!);
        y[t * m.rows + r] = f(y[t * m.rows + r]! + f(dot * f(weightScale * scale)));
      }
    }
  }
  return y;
}

function roundEven(v: number): number {
  const r = Math.round(v);
  return Math.abs(v % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r;
}

/** What projection_f32.c means: columns in order. */
function projectF32(w: Float32Array, x: Float32Array, rows: number, cols: number, tokens: number): Float32Array {
  const y = new Float32Array(tokens * rows);
  for (let t = 0; t < tokens; t++) {
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let c = 0; c < cols; c++) sum = f(sum + f(w[r * cols + c]! * x[t * cols + c]!));
      y[t * rows + r] = sum;
    }
  }
  return y;
}

// rows cover every cut into streams (1 to 8 row blocks), cols the group's edges.
const shapes = [
  [1, 1],
  [8, 32],
  [9, 31],
  [17, 33],
  [25, 64],
  [33, 7],
  [41, 96],
  [56, 100],
  [99, 517],
] as const;
const tokenCounts = [1, 2, 3, 4, 5, 6, 7, 9];

describe.each(everyDots)("with %s dots", async (dots) => {
  const box = await KernelBox.create(dots);
  const { kernels } = box;

  function runQ8(m: Q8Matrix, x: Float32Array, tokens: number, bias?: Float32Array, onto?: Float32Array): Float32Array {
    box.reset();
    const stride = m.cols + 5;
    const yStride = Math.ceil(m.rows / 8) * 8;
    const weight = box.putBytes(packQ8(m));
    const records = box.space(18 * tokens * Math.ceil(m.cols / GROUP));
    const y = onto === undefined ? box.space(tokens * yStride) : box.putRows(onto, m.rows, yStride);
    kernels.quantize(box.putRows(x, m.cols, stride), stride, tokens, m.cols, records);
    const biasAddress = bias === undefined ? 0 : box.putBlocks(bias, m.rows, 1, 8);
    kernels.project_q8(weight, m.rows, m.cols, records, tokens, biasAddress, y, yStride, onto === undefined ? 0 : 1);
    return box.getRows(y, tokens, m.rows, yStride);
  }

  test.each(shapes)("a q8 projection of (%i, %i) is exact for any number of tokens", (rows, cols) => {
    const m = quantizeQ8(rows, cols, randomF32(rows * cols));
    for (const tokens of tokenCounts) {
      const x = randomF32(tokens * cols, tokens);
      expect(differences(runQ8(m, x, tokens), projectQ8(m, x, tokens))).toBe(0);
    }
  });

  test("dots are exact at the extremes −128 and ±127", () => {
    const [rows, cols, tokens] = [40, 96, 5];
    const random = randomNumbers(11);
    const extreme = (least: number) => (): number => (random() < 0 ? least : 127);
    for (const least of [-128, -127]) {
      const values = Int8Array.from({ length: rows * cols }, extreme(least));
      const m = { rows, cols, values, scales: new Uint16Array(rows * 3).fill(f32ToBf16(1)) };
      const x = Float32Array.from({ length: tokens * cols }, extreme(-127));
      expect(differences(runQ8(m, x, tokens), projectQ8(m, x, tokens))).toBe(0);
      const same = { ...m, values: values.map(() => least) };
      const ones = x.map(() => 127);
      expect(differences(runQ8(same, ones, tokens), projectQ8(same, ones, tokens))).toBe(0);
    }
  });

  function runQ4(m: Q8Matrix, x: Float32Array, tokens: number): Float32Array {
    box.reset();
    const yStride = Math.ceil(m.rows / 8) * 8;
    const weight = box.putBytes(packQ4(m));
    const records = box.space(18 * tokens * Math.ceil(m.cols / GROUP));
    const y = box.space(tokens * yStride);
    kernels.quantize_q4(box.putRows(x, m.cols, m.cols + 3), m.cols + 3, tokens, m.cols, records);
    kernels.project_q4(weight, m.rows, m.cols, records, tokens, 0, y, yStride, 0);
    return box.getRows(y, tokens, m.rows, yStride);
  }

  test.each(shapes)("projections of (%i, %i) are exact on extreme weights, scales and activations", (rows, cols) => {
    const groups = Math.ceil(cols / GROUP);
    const random = randomNumbers(rows + cols);
    const oneOf = (values: readonly number[]): number => values[Math.floor(((random() + 1) / 2) * values.length)]!;
    const matrix = (integers: readonly number[], scales: readonly number[]): Q8Matrix => ({
      rows,
      cols,
      values: Int8Array.from({ length: rows * cols }, () => oneOf(integers)),
      scales: Uint16Array.from({ length: rows * groups }, () => f32ToBf16(oneOf(scales))),
    });
    const scales = [0, 1.2e-38, 1e-30, 1, 1e30];
    const q8 = matrix([-128, -127, -1, 0, 127], scales);
    const q4 = matrix([-8, -7, 0, 7], [...scales, -1e-30, -1e30]);
    for (const tokens of tokenCounts) {
      // Groups of zeros, of values that count as zero, and of sizes far apart.
      const sizes = Array.from({ length: tokens * groups }, () => oneOf([0, 1e-30, 1e-19, 1, 1e4]));
      const x = Float32Array.from({ length: tokens * cols }, (_, i) => {
        return oneOf([-1, 1, 0.5]) * sizes[Math.floor(i / cols) * groups + Math.floor((i % cols) / GROUP)]!;
      });
      expect(differences(runQ8(q8, x, tokens), projectQ8(q8, x, tokens))).toBe(0);
      expect(differences(runQ4(q4, x, tokens), projectQ8(q4, x, tokens))).toBe(0);
    }
  });

  test("bias is added, and accumulate adds to what is there", () => {
    const [rows, cols, tokens] = [33, 40, 6];
    const m = quantizeQ8(rows, cols, randomF32(rows * cols));
    const [x, bias, onto] = [randomF32(tokens * cols, 1), randomF32(rows, 2), randomF32(tokens * rows, 3)];
    const plain = projectQ8(m, x, tokens);
    const biased = plain.map((v, i) => f(v + bias[i % rows]!));
    expect(differences(runQ8(m, x, tokens, bias), biased)).toBe(0);
    expect(
      differences(
        runQ8(m, x, tokens, bias, onto),
        biased.map((v, i) => f(onto[i]! + v)),
      ),
    ).toBe(0);
  });

  test("a group of zeros, or of values too small to matter, gives zero", () => {
    const m = quantizeQ8(8, 64, randomF32(8 * 64));
    expect([...runQ8(m, new Float32Array(64).fill(1e-30), 1)]).toEqual(Array(8).fill(0));
  });

  test("a value that is not finite is not lost in quantization", () => {
    const m = quantizeQ8(8, 64, randomF32(8 * 64));
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const x = randomF32(64);
      x[40] = bad;
      expect(runQ8(m, x, 1).every((v) => !Number.isFinite(v))).toBe(true);
    }
  });

  test.each(shapes)("an f32 projection of (%i, %i) sums its columns in order", (rows, cols) => {
    const w = randomF32(rows * cols);
    for (const tokens of tokenCounts) {
      box.reset();
      const x = randomF32(tokens * cols, tokens);
      const yStride = Math.ceil(rows / 8) * 8;
      const [weight, tiles, y] = [
        box.putBlocks(w, rows, cols, 8),
        box.space(tokens * cols),
        box.space(tokens * yStride),
      ];
      kernels.interleave(box.putRows(x, cols, cols + 3), cols + 3, tokens, cols, tiles);
      kernels.project_f32(weight, rows, cols, tiles, tokens, 0, y, yStride, 0);
      expect(differences(box.getRows(y, tokens, rows, yStride), projectF32(w, x, rows, cols, tokens))).toBe(0);
    }
  });
});
