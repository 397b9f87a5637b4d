import { describe, expect, test } from "vitest";
import { blockedIndex } from "../../kernels/wasm/tensors.ts";
import { differences, distance, KernelBox, randomF32 } from "./wasm-fixtures.ts";

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
      // Nor zero: a state at rest is 1e-24 or more, and a zero here would hide the denormals beside it.
      const smallest = box.get(state, N * channels).reduce((a, v) => Math.min(a, Math.abs(v)), 1);
      expect(smallest).toBeGreaterThan(1.2e-38);
    }
  });
});
