import { expect, test } from "vitest";
import { erf, gelu, s4dScan } from "../../kernels/reference/s4d.ts";
import { discretize } from "../../worker/engine/architectures/s4d.ts";
import { randomNumbers } from "../support/checkpoints.ts";

test("the recurrence gives the numbers of the convolution, for 2,000 steps", () => {
  const [channels, N, L] = [3, 5, 2000];
  const random = randomNumbers(3);
  const numbers = (length: number, value: () => number): Float32Array => Float32Array.from({ length }, value);
  const logDt = numbers(channels, () => Math.log(0.001) + random() * Math.log(100));
  const logReal = numbers(channels * N, () => Math.log(0.5) + 0.2 * random());
  const imag = numbers(channels * N, () => 15 * random());
  const C = numbers(channels * N * 2, () => 2 * random() - 1);
  const D = numbers(channels, random);
  const x = Float64Array.from({ length: L * channels }, () => 2 * random() - 1);

  // K_t = 2 Re Σ_n C_n (e^(Δ A_n) − 1)/A_n · e^(Δ A_n t), as the paper's listing computes it: a power at a time, never a step.
  const expected = new Float64Array(L * channels);
  for (let i = 0; i < channels; i++) {
    const dt = Math.exp(logDt[i]!);
    const kernel = Float64Array.from({ length: L }, (_, t) => {
      let sum = 0;
      for (let j = i * N; j < (i + 1) * N; j++) {
        const [a, b] = [-Math.exp(logReal[j]!), imag[j]!];
        const power = (s: number): [number, number] => [
          Math.exp(a * dt * s) * Math.cos(b * dt * s),
          Math.exp(a * dt * s) * Math.sin(b * dt * s),
        ];
        // (e^(Δ A (t+1)) − e^(Δ A t)) / A
        const [re, im] = [power(t + 1)[0] - power(t)[0], power(t + 1)[1] - power(t)[1]];
        const norm = a * a + b * b;
        const [qr, qi] = [(re * a + im * b) / norm, (im * a - re * b) / norm];
        sum += 2 * (C[2 * j]! * qr - C[2 * j + 1]! * qi);
      }
      return sum;
    });
    for (let t = 0; t < L; t++) {
      let y = D[i]! * x[t * channels + i]!;
      for (let s = 0; s <= t; s++) y += kernel[t - s]! * x[s * channels + i]!;
      expected[t * channels + i] = y;
    }
  }

  const tensors: Record<string, Float32Array> = { ...discretize(logDt, logReal, imag, C), D };
  const h = new Float64Array(channels * N * 2);
  const block = { state: N, decay: "decay", C: "C", D: "D" };
  let [difference, largest] = [0, 0];
  for (let t = 0; t < L; t++) {
    const y = s4dScan(block, (name) => tensors[name]!, h, x.slice(t * channels, (t + 1) * channels));
    for (let i = 0; i < channels; i++) {
      difference = Math.max(difference, Math.abs(y[i]! - expected[t * channels + i]!));
      largest = Math.max(largest, Math.abs(expected[t * channels + i]!));
    }
  }
  // The steps are stored as f32.
  expect(difference / largest).toBeLessThan(1e-5);
});

test("decays that f32 cannot see become zero", () => {
  const { decay } = discretize(Float32Array.of(0), Float32Array.of(4), Float32Array.of(0), Float32Array.of(1, 0));
  expect([...decay]).toEqual([0, 0]);
});

// Abramowitz & Stegun, table 7.1.
test.each([
  [0, 0],
  [0.5, 0.5204998778],
  [1, 0.8427007929],
  [2, 0.995322265],
  [3, 0.9999779095],
  [7, 1],
])("erf(%d) = %d", (x, y) => {
  expect(erf(x)).toBeCloseTo(y, 9);
  expect(erf(-x)).toBeCloseTo(-y, 9);
});

test.each([
  [0, 0],
  [1, 0.8413447461],
  [-1, -0.1586552539],
  [-3, -0.0040496941],
])("gelu(%d) = %d", (x, y) => {
  expect(gelu(x)).toBeCloseTo(y, 9);
});
