import type { Counter } from "./counter.ts";

/** The ten tasks' prompts, as scripts/train/icl_tasks.py draws them: that file says what each is and after whom. */

export interface Prompt {
  /** T vectors of the task's inputs. */
  readonly tokens: Float32Array;
  /** P targets of some channels. */
  readonly targets: Float32Array;
  /** P: 0 where a target does not count. */
  readonly clean: readonly number[];
}

type Label = (x: Float32Array, point: number) => number;

/** x1, (y1, 0, …), x2, …, xP. */
function interleave(xs: Float32Array, ys: Float32Array, d: number): Float32Array {
  const [points, width] = [xs.length / d, (ys.length * d) / xs.length];
  const tokens = new Float32Array((2 * points - 1) * d);
  for (let p = 0; p < points; p++) {
    tokens.set(xs.subarray(p * d, (p + 1) * d), 2 * p * d);
    if (p < points - 1) tokens.set(ys.subarray(p * width, (p + 1) * width), (2 * p + 1) * d);
  }
  return tokens;
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, v, i) => sum + v * b[i]!, 0);
}

/** Indices of the largest, the largest first. */
function largest(values: Float64Array, count: number): number[] {
  return [...values.keys()].sort((a, b) => values[b]! - values[a]!).slice(0, count);
}

/** Scalar labels of normal xs. What a label needs beside x is drawn after all xs. */
function regression(points: number, d: number, labels: (random: Counter) => Label): (random: Counter) => Prompt {
  return (random) => {
    const x = random.normal(points * d);
    const label = labels(random);
    const y = Float32Array.from({ length: points }, (_, p) => label(x.subarray(p * d, (p + 1) * d), p));
    return { tokens: interleave(x, y, d), targets: y, clean: Array<number>(points).fill(1) };
  };
}

export const linear = regression(41, 20, (random) => {
  const w = random.normal(20);
  return (x) => dot(x, w);
});

export const sparseLinear = regression(41, 20, (random) => {
  const w = random.normal(20);
  const kept = largest(random.uniform(20), 3);
  return (x) => kept.reduce((sum, i) => sum + x[i]! * w[i]!, 0);
});

export const reluNetwork = regression(101, 20, (random) => {
  const hidden = 100;
  const W1 = random.normal(20 * hidden);
  const W2 = random.normal(hidden);
  return (x) => {
    const unit = (h: number): number => x.reduce((sum, v, i) => sum + v * W1[i * hidden + h]!, 0);
    const y = W2.reduce((sum, weight, h) => sum + weight * Math.max(0, unit(h)), 0);
    return Math.sqrt(2 / hidden) * y;
  };
});

export const decisionTree = regression(101, 20, (random) => {
  const depth = 4;
  const nodes = 2 ** depth - 1;
  const coordinate = random.uniform(nodes).map((u) => Math.floor(u * 20));
  const leaves = random.normal(nodes + 1);
  return (x) => {
    let node = 0;
    while (node < nodes) node = 2 * node + (x[coordinate[node]!]! > 0 ? 2 : 1);
    return leaves[node - nodes]!;
  };
});

export function orthogonalOutliers(random: Counter): Prompt {
  const [d, points] = [20, 101];
  const x = random.normal(points * d);
  const w = random.normal(d);
  const both = random.normal(2 * d);
  const plane = [both.subarray(0, d), both.subarray(d)];
  const square = dot(w, w);
  for (const u of plane) {
    const along = dot(u, w) / square;
    u.forEach((v, i) => {
      u[i] = v - along * w[i]!;
    });
  }
  const ab = random.normal(points * 4);
  const out = random.uniform(points);
  const clean: number[] = [];
  const targets = new Float32Array(points);
  const labels = new Float32Array(points * d);
  for (let p = 0; p < points; p++) {
    const own = x.subarray(p * d, (p + 1) * d);
    targets[p] = labels[p * d] = dot(own, w);
    const fake = out[p]! < 0.5 && p < points - 1;
    clean.push(fake ? 0 : 1);
    for (let i = 0; fake && i < d; i++) {
      const along = (k: number): number => ab[4 * p + k]! * plane[0]![i]! + ab[4 * p + k + 1]! * plane[1]![i]!;
      own[i] = along(0);
      labels[p * d + i] = along(2);
    }
  }
  return { tokens: interleave(x, labels, d), targets, clean };
}

export function manyOutliers(random: Counter): Prompt {
  const [d, points] = [20, 512];
  const x = random.normal(points * d);
  const w = random.normal(d);
  const out = random.uniform(points);
  const targets = new Float32Array(points);
  const labels = new Float32Array(points);
  const clean: number[] = [];
  for (let p = 0; p < points; p++) {
    const own = x.subarray(p * d, (p + 1) * d);
    targets[p] = labels[p] = dot(own, w);
    const fake = out[p]! < 0.9 && p < points - 1;
    clean.push(fake ? 0 : 1);
    if (!fake) continue;
    own.fill(1);
    labels[p] = 1;
  }
  return { tokens: interleave(x, labels, d), targets, clean };
}

export function sparseParity(random: Counter): Prompt {
  const [d, points, k] = [10, 140, 2];
  const x = Float32Array.from(random.uniform(points * d), (u) => (u < 0.5 ? 1 : -1));
  const chosen = largest(random.uniform(d), k);
  const y = Float32Array.from({ length: points }, (_, p) => chosen.reduce((sign, i) => sign * x[p * d + i]!, 1));
  return { tokens: interleave(x, y, d), targets: y, clean: Array<number>(points).fill(1) };
}

export function retrieval(random: Counter): Prompt {
  const [d, known, asked] = [20, 48, 16];
  const keys = random.normal(known * d);
  for (let p = 0; p < known; p++) {
    const key = keys.subarray(p * d, (p + 1) * d);
    const scale = Math.sqrt(d / dot(key, key));
    key.forEach((v, i) => {
      key[i] = v * scale;
    });
  }
  const values = random.normal(known * d);
  const all = [...Array(known).keys(), ...largest(random.uniform(known), asked)];
  const rows = (source: Float32Array): Float32Array =>
    Float32Array.from(all.flatMap((p) => [...source.subarray(p * d, (p + 1) * d)]));
  const targets = rows(values);
  return { tokens: interleave(rows(keys), targets, d), targets, clean: all.map((_, p) => (p < known ? 0 : 1)) };
}

export function chainOfThought(random: Counter): Prompt {
  const [d, h, points] = [10, 4, 51];
  const x = random.normal(points * d);
  const W = random.normal(d * h);
  const v = random.normal(h);
  const tokens = new Float32Array((3 * points - 1) * d);
  const targets = new Float32Array(2 * points * h);
  for (let p = 0; p < points; p++) {
    const own = x.subarray(p * d, (p + 1) * d);
    const s = Float32Array.from({ length: h }, (_, j) =>
      Math.max(0, own.reduce((sum, value, i) => sum + value * W[i * h + j]!, 0) / Math.sqrt(d)),
    );
    const y = dot(s, v);
    tokens.set(own, 3 * p * d);
    tokens.set(s, (3 * p + 1) * d);
    if (p < points - 1) tokens[(3 * p + 2) * d] = y;
    targets.set(s, 2 * p * h);
    targets[(2 * p + 1) * h] = y;
  }
  return { tokens, targets, clean: Array<number>(2 * points).fill(1) };
}

export function mixture(random: Counter): Prompt {
  const points = 100;
  const means = random.normal(8);
  const mode = random.uniform(points + 1).map((u) => Math.floor(4 * u));
  const noise = random.normal(2 * (points + 1));
  const x = noise.map((v, i) => 2 * means[2 * mode[i >> 1]! + (i & 1)]! + 0.4 * v);
  return { tokens: x.slice(0, 2 * points), targets: x.slice(2), clean: Array<number>(points).fill(1) };
}
