import { expect, test } from "vitest";
import { bestOn, type TaskResult } from "../../worker/browser/page/learn/study.ts";

const score = (name: string, final: number) => ({ name, final, low: final - 0.01, high: final + 0.01 });
const result = (task: string, ...models: TaskResult["models"]): TaskResult => ({
  ...{ task, models, measure: "squared error", last: 1, paper: {}, baselines: [] },
});

test("the best, and who is within its interval, is counted once a task", () => {
  const far = result("retrieval", score("transformer", 0.9), score("mamba", 0.2), score("mambaformer", 0.05));
  const close = result("linear", score("mamba", 0.06), score("mambaformer", 0.055));
  const results = [far, close, { ...far, task: "retrieval-no-curriculum" }, result("mixture", score("mamba", 1))];
  expect(bestOn("mambaformer", results)).toEqual([2, 2]);
  expect(bestOn("mamba", results)).toEqual([1, 2]);
  expect(bestOn("transformer", results)).toEqual([0, 1]);
  expect(bestOn("s4d", results)).toEqual([0, 0]);
});
