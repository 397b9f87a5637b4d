import { expect, test } from "vitest";
import { Counter } from "../../scripts/lib/icl/counter.ts";
import { TASKS } from "../../scripts/lib/icl/tasks.ts";
import golden from "../golden/icl-prompts.json";

const weighed = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value, i) => sum + value * (i + 1), 0);

/** Weighed sums cancel: an error of a number's last f32 digit is told by their size. */
function expectSum(seen: ArrayLike<number>, wanted: number): void {
  const size = weighed(Array.from(seen, Math.abs));
  expect(Math.abs(weighed(seen) - wanted) / size).toBeLessThan(1e-7);
}

test("there are the same tasks as in Python", () => {
  expect(Object.keys(TASKS)).toEqual(Object.keys(golden));
});

test.each(Object.entries(golden))("%s: a prompt is the one that PyTorch was evaluated on", (name, {
  prompt,
  ...wanted
}) => {
  const { inputs, draw, examples } = TASKS[name]!;
  const { tokens, targets, clean } = draw(new Counter(prompt));
  expect([tokens.length / inputs, inputs]).toEqual(wanted.shape);
  // As many (x, y), then the last question.
  if (examples !== undefined) expect(tokens.length / inputs).toBe(2 * examples + 1);
  expect(examples === undefined).toBe(["chain-of-thought", "mixture"].includes(name));
  const close = (seen: Float32Array, values: readonly number[]): void =>
    values.forEach((value, i) => {
      expect(seen[i]).toBeCloseTo(value, 5);
    });
  close(tokens.subarray(0, inputs), wanted.first);
  close(tokens.subarray(-inputs), wanted.last);
  expectSum(tokens, wanted.sums.tokens);
  expectSum(targets, wanted.sums.targets);
  expect(weighed(clean)).toBe(wanted.sums.clean);
});
