import { describe, expect, test } from "vitest";
import { packQ4, packQ8, unpackQ4, unpackQ8 } from "../../weights/layout.ts";
import { quantizeQ8 } from "../../weights/quantize.ts";
import { quantizeQ4 } from "../../weights/quantize-q4.ts";
import { distance, everyDots, KernelBox, randomF32 } from "./wasm-fixtures.ts";

describe.each(everyDots)("with %s dots", async (dots) => {
  const box = await KernelBox.create(dots);
  const { kernels } = box;

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
