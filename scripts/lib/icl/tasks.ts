import type { Counter } from "./counter.ts";
import {
  chainOfThought,
  decisionTree,
  linear,
  manyOutliers,
  mixture,
  orthogonalOutliers,
  type Prompt,
  reluNetwork,
  retrieval,
  sparseLinear,
  sparseParity,
} from "./draw.ts";

/** A task as it is evaluated: TASKS, losses and scores of scripts/train/icl_tasks.py. */
export interface Task {
  /** numbers of a vector. */
  readonly inputs: number;
  /** numbers that a model says of it. */
  readonly outputs: number;
  draw(random: Counter): Prompt;
  /** The position after which target i is predicted. */
  read(i: number): number;
  /** Of one target: what was said, and what it is. */
  score(said: Float32Array, target: Float32Array, i: number): number;
  /** the score is the mean over so many last targets. */
  readonly last: number;
  /** (x, y) before the last question of its prompts, in training too; absent where prompts are made of something else. */
  readonly examples?: number;
}

const pairs = (i: number): number => 2 * i;

function squares(said: Float32Array, target: Float32Array): number {
  return target.reduce((sum, v, c) => sum + (said[c]! - v) ** 2, 0) / target.length;
}

function regression(draw: Task["draw"], points: number, scale: number, more: Partial<Task> = {}): Task {
  const score: Task["score"] = (said, target) => squares(said, target) / scale;
  return { inputs: 20, outputs: 1, draw, read: pairs, score, last: 1, examples: points - 1, ...more };
}

export const TASKS: Readonly<Record<string, Task>> = {
  linear: regression(linear, 41, 20),
  "sparse-linear": regression(sparseLinear, 41, 3),
  "relu-network": regression(reluNetwork, 101, 20),
  "decision-tree": regression(decisionTree, 101, 1),
  "orthogonal-outliers": regression(orthogonalOutliers, 101, 20),
  "many-outliers": regression(manyOutliers, 512, 20),
  "sparse-parity": regression(sparseParity, 140, 1, {
    inputs: 10,
    last: 20,
    score: (said, target) => (Math.sign(said[0]!) === target[0] ? 0 : 1),
  }),
  retrieval: regression(retrieval, 64, 1, { outputs: 20, last: 16 }),
  "chain-of-thought": {
    inputs: 10,
    outputs: 4,
    draw: chainOfThought,
    read: (i) => 3 * (i >> 1) + (i & 1),
    last: 1,
    score: (said, target, i) => (i % 2 === 1 ? (said[0]! - target[0]!) ** 2 : squares(said, target)),
  },
  mixture: {
    inputs: 2,
    outputs: 40,
    draw: mixture,
    read: (i) => i,
    last: 20,
    score: (said, x) => -logDensity(said, x),
  },
};

const PARTS = 8;

/** ln of a mixture's density: 8 logits, 8 means of 2, 8 ln deviations of 2. */
function logDensity(said: Float32Array, x: Float32Array): number {
  const logits = said.subarray(0, PARTS);
  const whole = logSumExp([...logits]);
  const parts = [...logits].map((logit, k) => {
    let log = logit - whole - Math.log(2 * Math.PI);
    for (let c = 0; c < 2; c++) {
      const deviation = Math.min(4, Math.max(-4, said[3 * PARTS + 2 * k + c]!));
      const z = (x[c]! - said[PARTS + 2 * k + c]!) * Math.exp(-deviation);
      log -= 0.5 * z * z + deviation;
    }
    return log;
  });
  return logSumExp(parts);
}

function logSumExp(values: readonly number[]): number {
  const top = Math.max(...values);
  return top + Math.log(values.reduce((sum, v) => sum + Math.exp(v - top), 0));
}
