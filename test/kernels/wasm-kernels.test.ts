import { describe, expect, test } from "vitest";
import { blockedIndex } from "../../kernels/wasm/tensors.ts";
import {
  bf16ToF32,
  f32ToBf16,
  GROUP,
  packQ4,
  packQ8,
  type Q8Matrix,
  unpackQ4,
  unpackQ8,
} from "../../weights/layout.ts";
import { quantizeQ8 } from "../../weights/quantize.ts";
import { quantizeQ4 } from "../../weights/quantize-q4.ts";
import { differences, distance, everyDots, KernelBox, randomF32, randomNumbers } from "./wasm-fixtures.ts";

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

  test.each([1, 3, 16, 99, 517])("the norm of width %i", (dim) => {
    box.reset();
    const [tokens, stride, eps] = [3, dim + 6, 1e-5];
    const [u, weight] = [randomF32(tokens * dim), randomF32(dim, 4)];
    const y = box.space(tokens * stride);
    kernels.rms_norm(box.putRows(u, dim, stride), stride, tokens, dim, box.put(weight), eps, y, stride);
    const expected = u.map((v, i) => {
      const row = u.subarray(Math.floor(i / dim) * dim, Math.floor(i / dim) * dim + dim);
      return (v / Math.sqrt(row.reduce((a, b) => a + b * b, 0) / dim + eps)) * weight[i % dim]!;
    });
    expect(distance(box.getRows(y, tokens, dim, stride), expected)).toBeLessThan(1e-6);
  });

  test("embedding rows", () => {
    const [vocab, dim] = [21, 77];
    const values = randomF32(vocab * dim);
    const tokens = [20, 0, 7, 8, 20];
    const packed = packQ8(quantizeQ8(vocab, dim, values));
    const rowsOf = (table: Float32Array): Float32Array =>
      Float32Array.from(tokens.flatMap((t) => [...table.subarray(t * dim, (t + 1) * dim)]));
    box.reset();
    const ids = box.putBytes(new Uint8Array(Int32Array.from(tokens).buffer));
    const u = box.space(tokens.length * 80);
    kernels.embed_q8(box.putBytes(packed), dim, ids, tokens.length, u, 80);
    expect(box.getRows(u, tokens.length, dim, 80)).toEqual(rowsOf(unpackQ8(packed, vocab, dim)));
    const q4 = packQ4(quantizeQ4(vocab, dim, values));
    kernels.embed_q4(box.putBytes(q4), dim, ids, tokens.length, u, 80);
    expect(box.getRows(u, tokens.length, dim, 80)).toEqual(rowsOf(unpackQ4(q4, vocab, dim)));
    kernels.embed_f32(box.putBlocks(values, vocab, dim, 8), dim, ids, tokens.length, u, 80);
    expect(box.getRows(u, tokens.length, dim, 80)).toEqual(rowsOf(values));
  });

  test("softplus keeps its relative accuracy far below zero", () => {
    box.reset();
    const x = Float32Array.from({ length: 4096 }, (_, i) => -41 + i / 50);
    const address = box.put(x);
    kernels.softplus(address, x.length);
    const worst = box.get(address, x.length).reduce((worst, y, i) => {
      const exact = Math.max(x[i]!, 0) + Math.log1p(Math.exp(-Math.abs(x[i]!)));
      return Math.max(worst, Math.abs(y / exact - 1));
    }, 0);
    expect(worst).toBeLessThan(3e-6); // e^-41 with its exponent rounded to f32; 4e-7 above −5
  });

  test("log-probabilities do not depend on how the vocabulary is cut", () => {
    const [vocab, tokens] = [1003, 2];
    const logits = randomF32(tokens * vocab).map((v) => 30 * v);
    const totals = [vocab, 64, 192, 960].map((step) => {
      box.reset();
      const address = box.space(4 * tokens);
      const f64 = new Float64Array(box.f32.buffer, address, 2 * tokens);
      f64.set([-1e30, 0, -1e30, 0]);
      for (let row = 0; row < vocab; row += step) {
        const rows = Math.min(step, vocab - row);
        const block = Float32Array.from({ length: tokens * rows }, (_, i) => {
          return logits[Math.floor(i / rows) * vocab + row + (i % rows)]!;
        });
        kernels.log_sum_exp(box.putRows(block, rows, step), step, tokens, rows, address);
      }
      return [...f64];
    });
    for (const total of totals) expect(total).toEqual(totals[0]);
    for (let t = 0; t < tokens; t++) {
      const row = logits.subarray(t * vocab, (t + 1) * vocab);
      const exact = Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0));
      expect(totals[0]![2 * t]! + Math.log(totals[0]![2 * t + 1]!)).toBeCloseTo(exact, 5);
    }
  });
});

describe("sequence kernels", async () => {
  const box = await KernelBox.create("widened");
  const { kernels } = box;
  const silu = (v: number): number => v / (1 + Math.exp(-v));

  test.each([
    [2, 16],
    [3, 7],
    [4, 16],
    [4, 37],
    [7, 20],
  ])("a convolution of width %i over %i channels, whole and in pieces", (width, inner) => {
    const tokens = 11;
    const channels = Math.ceil(inner / 16) * 16;
    const [x, w, b] = [randomF32(tokens * inner), randomF32(inner * width, 4), randomF32(inner, 5)];
    const past = randomF32((width - 1) * inner, 6);
    const at = (t: number, i: number): number => (t < 0 ? past[(t + width - 1) * inner + i]! : x[t * inner + i]!);
    const expected = x.map((_, n) => {
      const [t, i] = [Math.floor(n / inner), n % inner];
      let sum = b[i]!;
      for (let k = 0; k < width; k++) sum += w[i * width + k]! * at(t + k - (width - 1), i);
      return silu(sum);
    });
    const runs = [[11], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [2, 5, 1, 3], [7, 4]].map((spans) => {
      box.reset();
      const [weight, bias] = [box.putBlocks(w, inner, width, 16), box.putBlocks(b, inner, 1, 16)];
      const columns = Float32Array.from(past, (_, j) => past[(j % (width - 1)) * inner + Math.floor(j / (width - 1))]!);
      const state = box.putBlocks(columns, inner, width - 1, 16);
      const input = box.putRows(x, inner, channels);
      const out = box.space(tokens * channels);
      let t = 0;
      for (const count of spans) {
        const offset = 4 * t * channels;
        kernels.causal_conv(
          input + offset,
          channels,
          count,
          channels,
          width,
          weight,
          bias,
          state,
          out + offset,
          channels,
        );
        t += count;
      }
      return {
        y: box.getRows(out, tokens, inner, channels),
        last: Float32Array.from({ length: inner }, (_, i) => {
          return box.f32[state / 4 + blockedIndex(i, width - 2, width - 1, 16)]!;
        }),
        state: box.get(state, (width - 1) * channels),
      };
    });
    expect(distance(runs[0]!.y, expected)).toBeLessThan(1e-6);
    for (const { y, last, state } of runs) {
      expect(differences(y, runs[0]!.y)).toBe(0);
      expect(last).toEqual(x.subarray((tokens - 1) * inner));
      expect(state).toEqual(runs[0]!.state);
    }
  });

  test.each([
    [16, 16],
    [1, 40],
    [5, 33],
    [8, 7],
    [16, 517],
  ])("a scan of state size %i over %i channels", (N, inner) => {
    box.reset();
    const [tokens, channels] = [9, Math.ceil(inner / 16) * 16];
    const [x, z, D] = [randomF32(tokens * inner, 1), randomF32(tokens * inner, 2), randomF32(inner, 3)];
    const dt = randomF32(tokens * inner, 4).map((v) => 0.5 + 0.4 * v);
    const A = randomF32(inner * N, 5).map((v) => -2 + 1.9 * v);
    const [bc, h0] = [randomF32(tokens * 2 * N, 6), randomF32(inner * N, 7)];
    const h = Float64Array.from(h0);
    const expected = new Float32Array(tokens * inner);
    for (let t = 0; t < tokens; t++) {
      for (let i = 0; i < inner; i++) {
        const at = t * inner + i;
        let y = D[i]! * x[at]!;
        for (let n = 0; n < N; n++) {
          const [B, C] = [bc[t * 2 * N + n]!, bc[t * 2 * N + N + n]!];
          h[i * N + n] = Math.exp(dt[at]! * A[i * N + n]!) * h[i * N + n]! + dt[at]! * B * x[at]!;
          y += C * h[i * N + n]!;
        }
        expected[at] = y * silu(z[at]!);
      }
    }
    const state = box.putBlocks(h0, inner, N, 16);
    const [bcAddress, y] = [box.put(bc), box.space(tokens * channels)];
    kernels.selective_scan(
      box.putBlocks(A, inner, N, 16, Math.LOG2E),
      box.putBlocks(D, inner, 1, 16),
      state,
      box.putRows(dt, inner, channels),
      box.putRows(x, inner, channels),
      channels,
      box.putRows(z, inner, channels),
      channels,
      bcAddress,
      bcAddress + 4 * N,
      2 * N,
      y,
      tokens,
      channels,
      N,
    );
    expect(distance(box.getRows(y, tokens, inner, channels), expected)).toBeLessThan(2e-6);
    const after = Float32Array.from({ length: inner * N }, (_, j) => {
      const [i, n] = [Math.floor(j / N), j % N];
      return box.f32[state / 4 + blockedIndex(i, n, N, 16)]!;
    });
    expect(distance(after, Float32Array.from(h))).toBeLessThan(1e-6);
  });

  test("a state left without input never becomes denormal", () => {
    box.reset();
    const [N, channels] = [4, 16];
    const state = box.put(randomF32(N * channels));
    const A = box.putBlocks(
      Float32Array.from({ length: N * channels }, (_, j) => [-1e-6, -0.5, -20, -1e9][j % N]!),
      channels,
      N,
      16,
      Math.LOG2E,
    );
    const zero = box.put(new Float32Array(channels));
    const dt = box.put(new Float32Array(channels).fill(1));
    for (let t = 0; t < 500; t++) {
      kernels.selective_scan(A, zero, state, dt, zero, channels, zero, channels, zero, zero, 0, zero, 1, channels, N);
      const smallest = box.get(state, N * channels).reduce((a, v) => Math.min(a, Math.abs(v)), 1);
      expect(smallest === 0 || smallest > 1.2e-38).toBe(true);
    }
  });
});
