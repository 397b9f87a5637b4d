import { describe, expect, test } from "vitest";
import type { Conv2dBlock, ImageSize, Ss2dBlock } from "../../kernels/image-blocks.ts";
import { conv2d, depthwise, mean, type Stream, scan2d } from "../../kernels/reference/images.ts";
import type { Weights } from "../../kernels/reference/steps.ts";
import { distance, KernelBox, randomF32 } from "./wasm-fixtures.ts";

/* image.c and ss2d.c, each kernel alone, beside the reference; what lies beside the data is NaN. */

const sizes: ImageSize[] = [
  { height: 1, width: 1 },
  { height: 1, width: 7 },
  { height: 5, width: 1 },
  { height: 2, width: 2 },
  { height: 5, width: 9 },
  { height: 8, width: 3 },
];

const streamOf = ({ height, width }: ImageSize, values: Float32Array, channels: number): Stream => ({
  height,
  width,
  at: Array.from({ length: height * width }, (_, p) =>
    Float64Array.from(values.subarray(p * channels, (p + 1) * channels)),
  ),
});
const flat = ({ at }: Pick<Stream, "at">): Float32Array => Float32Array.from(at.flatMap((v) => [...v]));
const weightsOf =
  (tensors: Record<string, Float32Array>): Weights =>
  (name) =>
    tensors[name]!;

describe.each(["widened", "paired"] as const)("with %s dots", async (dots) => {
  const box = await KernelBox.create(dots);
  const { kernels } = box;

  test.each([
    [1, 3, 2, 1],
    [3, 3, 2, 1],
    [3, 4, 4, 0],
    [5, 3, 1, 1],
    [17, 2, 2, 0],
    [8, 5, 3, 2],
    // Pixels: nothing lies between two positions.
    [1, 3, 2, 1, 0],
    [3, 3, 2, 1, 0],
    [3, 4, 4, 0, 0],
  ])("patches of %i channels, kernel %i, step %i, padding %i", (inputs, kernel, stride, padding, between = 2) => {
    const columns = kernel * kernel * inputs;
    // A convolution whose rows pick one column each gives the patches.
    const identity = new Float32Array(columns * columns);
    for (let i = 0; i < columns; i++) identity[i * columns + i] = 1;
    const block: Conv2dBlock = {
      kind: "conv2d",
      inputs,
      dim: columns,
      kernel,
      stride,
      padding,
      conv: { weight: "w" },
      gelu: false,
    };
    for (const size of sizes) {
      if (size.height + 2 * padding < kernel || size.width + 2 * padding < kernel) continue;
      const u = randomF32(size.height * size.width * inputs);
      const expected = conv2d(block, { weights: weightsOf({ w: identity }) }, streamOf(size, u, inputs));
      box.reset();
      const at = box.putRows(u, inputs, inputs + between);
      const count = expected.height * expected.width;
      const out = box.space(count * columns);
      const rest = (first: number, n: number): void =>
        kernels.patches(
          at,
          inputs + between,
          size.height,
          size.width,
          inputs,
          kernel,
          stride,
          padding,
          0,
          first,
          n,
          expected.width,
          out + 4 * first * columns,
        );
      // In two pieces, which need not end with a row.
      rest(0, Math.floor(count / 2));
      rest(Math.floor(count / 2), count - Math.floor(count / 2));
      expect(box.get(out, count * columns)).toEqual(flat(expected));
    }
  });

  test("patches to merge: (0,0), (1,0), (0,1), (1,1), zeros beyond an odd edge", () => {
    const u = Float32Array.from({ length: 9 }, (_, i) => i + 1); // 3 × 3, one channel
    box.reset();
    const out = box.space(16);
    kernels.patches(box.putRows(u, 1, 3), 3, 3, 3, 1, 2, 2, 0, 1, 0, 4, 2, out);
    expect([...box.get(out, 16)]).toEqual([1, 4, 2, 5, 3, 6, 0, 0, 7, 0, 8, 0, 9, 0, 0, 0]);
  });

  test.each([1, 15, 16, 17, 33])("the mean of all positions, %i channels", (dim) => {
    for (const size of sizes) {
      const u = randomF32(size.height * size.width * dim);
      box.reset();
      const y = box.space(dim);
      kernels.mean_rows(box.putRows(u, dim, dim + 3), dim + 3, size.height * size.width, dim, y);
      expect(distance(box.get(y, dim), flat(mean(streamOf(size, u, dim))))).toBeLessThan(1e-6);
    }
  });

  test.each([true, false])("a depthwise convolution with silu, bias: %s", (biased) => {
    const inner = 16;
    const [w, b] = [randomF32(inner * 9, 4), randomF32(inner, 5)];
    const block = { inner, convWeight: "w", ...(biased && { convBias: "b" }) };
    for (const size of sizes) {
      const x = randomF32(size.height * size.width * inner);
      const expected = depthwise(block, { weights: weightsOf({ w, b }) }, streamOf(size, x, inner));
      box.reset();
      const out = box.space(x.length + 4 * size.height * size.width);
      const bias = biased ? box.put(b) : 0;
      const at = box.putRows(x, inner, inner + 8);
      kernels.depthwise_conv(
        at,
        inner + 8,
        size.height,
        size.width,
        box.putBlocks(w, inner, 9, 16),
        bias,
        out,
        inner + 4,
      );
      const seen = box.getRows(out, size.height * size.width, inner, inner + 4);
      expect(distance(seen, flat(expected))).toBeLessThan(1e-6);
    }
  });

  test.each([
    [1, 1],
    [1, 6],
    [16, 3],
    [3, 2],
    [7, 5],
  ])("the four scans, N = %i, rank %i, with D and onto what is there", (N, rank) => {
    const inner = 16;
    const wide = 4 * (rank + 2 * N);
    const dtWeight = randomF32(inner * rank, 4);
    const bias = randomF32(inner, 5).map((v) => 2 * v - 2);
    const A = randomF32(inner * N, 6).map((v) => -0.05 - 4 * Math.abs(v));
    const D = randomF32(inner, 7);
    const block = {
      inner,
      state: N,
      dtRank: rank,
      scans: Array.from({ length: 4 }, () => ({ dtProj: { weight: "dt", bias: "b" }, A: "A" })),
    } as unknown as Ss2dBlock;
    for (const size of sizes) {
      const positions = size.height * size.width;
      const [x, own] = [randomF32(positions * inner, 8), randomF32(positions * wide, 9)];
      const stream = streamOf(size, x, inner);
      const context = { weights: weightsOf({ dt: dtWeight, b: bias, A }) };
      const before = randomF32(positions * inner, 10);
      for (let k = 0; k < 4; k++) {
        const scanned = flat(scan2d(block, context, stream, streamOf(size, own, wide).at, k));
        for (const withD of [true, false]) {
          const expected = scanned.map((v, i) => v + (withD ? D[i % inner]! * x[i]! : before[i]!));
          box.reset();
          const y = box.putRows(withD ? new Float32Array(x.length).fill(Number.NaN) : before, inner, inner + 4);
          kernels.scan_2d(
            box.putRows(x, inner, inner + 4),
            inner + 4,
            size.height,
            size.width,
            k,
            box.putRows(own, wide, wide + 1) + 4 * k * (rank + 2 * N),
            wide + 1,
            rank,
            box.putBlocks(dtWeight, inner, rank, 16),
            box.put(bias),
            box.putBlocks(A, inner, N, 16, Math.LOG2E),
            withD ? box.put(D) : 0,
            box.space(N * 16),
            y,
            N,
          );
          expect(distance(box.getRows(y, positions, inner, inner + 4), expected)).toBeLessThan(1e-6);
        }
      }
    }
  });

  test.each([1, 15, 16, 17, 40])("a gate over %i channels", (width) => {
    const tokens = 5;
    const [x, z] = [randomF32(tokens * width), randomF32(tokens * width, 4).map((v) => 8 * v)];
    box.reset();
    const at = box.putRows(x, width, width + 3);
    kernels.gate(at, width + 3, box.putRows(z, width, width + 1), width + 1, tokens, width);
    const expected = x.map((v, i) => (v * z[i]!) / (1 + Math.exp(-z[i]!)));
    expect(distance(box.getRows(at, tokens, width, width + 3), expected)).toBeLessThan(1e-6);
  });
});
