import { describe, expect, test } from "vitest";
import { openModel } from "../../scripts/lib/open-model.ts";
import { type Example, observe, predict } from "../../worker/engine/in-context.ts";
import { draw } from "../../worker/engine/random.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { standardize } from "../../worker/engine/standardize.ts";

const PROMPTS = 12;
const LINEAR = { inputs: 20, outputs: 1 };

/** y = w·x + c in units far from the models': x about -40 to 40 with deviations of 0.1 to 10, c about 50. */
function ordinary(seed: number, width: number, count: number): Example[] {
  let at = 0;
  const normal = (): number => {
    const radius = Math.sqrt(-2 * Math.log(1 - draw(seed, at++)));
    return radius * Math.cos(2 * Math.PI * draw(seed, at++));
  };
  const columns = Array.from({ length: width }, () => ({
    mean: 20 * normal(),
    scale: 10 ** (2 * draw(seed, at++) - 1),
  }));
  const weights = columns.map(({ scale }) => normal() / scale);
  return Array.from({ length: count }, () => {
    const x = columns.map(({ mean, scale }) => mean + scale * normal());
    return { x, y: 50 + x.reduce((sum, v, j) => sum + v * weights[j]!, 0) };
  });
}

/** Mean over prompts of the squared error of the last y by its variance. */
async function relativeError(name: string, width: number, count: number): Promise<number> {
  const model = await openModel(`weights/models/${name}`, { backend: "wasm" });
  let total = 0;
  for (let prompt = 0; prompt < PROMPTS; prompt++) {
    const drawn = ordinary(prompt, width, count + 1);
    const { x, y } = drawn[count]! as { x: number[]; y: number };
    const { examples, queries, restore, y: known } = standardize(drawn.slice(0, count), [x], model);
    const sequence = new Sequence(model);
    await observe(sequence, examples);
    const [output] = await predict(sequence, queries);
    sequence.dispose();
    total += (restore(output![0]!) - y) ** 2 / known.deviation ** 2;
  }
  return total / PROMPTS;
}

describe.each([
  ["icl-linear-mamba", 0.05],
  ["icl-linear-mambaformer", 0.02],
  ["icl-linear-transformer", 0.03],
])("data of other units and fewer numbers, by %s", (name, most) => {
  test.each([1, 2, 5, 20])("of %i numbers, from 30 examples", async (width) => {
    expect(await relativeError(name, width, 30)).toBeLessThan(width === 20 ? 0.1 : most);
  });

  test("of two numbers, from 10 examples", async () => {
    expect(await relativeError(name, 2, 10)).toBeLessThan(0.2);
  });
});

describe("standardize", () => {
  const examples = ordinary(7, 3, 12);
  const flat = (row: readonly number[]) => row.reduce((sum, v) => sum + v * v, 0);

  test("x and y have mean 0; y the deviation that its numbers give it; predictions come back in y's units", () => {
    for (const count of [12, 26]) {
      const given = ordinary(7, 3, count);
      const { examples: laid, rest, restore, y } = standardize(given, [given[3]!.x], LINEAR);
      expect(rest).toBe(count > 25 ? "noise" : "spread");
      const ys = laid.map((e) => e.y as number);
      expect(ys.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 9);
      expect(Math.sqrt(flat(ys) / count)).toBeCloseTo(Math.sqrt(count > 25 ? 20 : 3), 9);
      expect(restore(ys[5]!)).toBeCloseTo(given[5]!.y as number, 9);
      expect(restore(0)).toBe(y.mean);
      expect(laid.every(({ x }) => x.length === 20)).toBe(true);
    }
  });

  test("along directions at right angles lengths are kept; a query is laid as its example", () => {
    const { examples: laid, queries, x } = standardize(examples, [examples[4]!.x], LINEAR);
    const standard = examples[4]!.x.map((v, j) => (v - x[j]!.mean) / x[j]!.deviation);
    expect(flat(laid[4]!.x)).toBeCloseTo(flat(standard), 9);
    expect(queries[0]).toEqual(laid[4]!.x);
  });

  test("noise beside x is the same each time, and as N(0, 1)", () => {
    const given = ordinary(1, 2, 40);
    const { examples: laid } = standardize(given, [], LINEAR);
    expect(standardize(given, [], LINEAR).examples).toEqual(laid);
    const noise = laid.flatMap(({ x }) => x.slice(2));
    expect(flat(noise) / noise.length).toBeGreaterThan(0.85);
    expect(flat(noise) / noise.length).toBeLessThan(1.15);
  });

  test("what is the same in every example is not used, and a y that never changes is the answer", () => {
    const same = examples.map(({ x, y }) => ({ x: [...x, 0.1], y }));
    const { examples: laid, x } = standardize(same, [], LINEAR);
    expect(x[3]).toEqual({ mean: expect.closeTo(0.1), deviation: 0 });
    expect(laid).toEqual(standardize(examples, [], LINEAR).examples);
    const constant = standardize(
      examples.map(({ x }) => ({ x, y: 4 })),
      [],
      LINEAR,
    );
    expect(constant.restore(0.7)).toBe(4);
  });

  test("numbers beyond the square root of what f64 holds", () => {
    const huge = examples.map(({ x, y }) => ({ x: x.map((v) => v * 1e200), y }));
    const laid = standardize(huge, [], LINEAR).examples;
    expect(laid[2]!.x[7]).toBeCloseTo(standardize(examples, [], LINEAR).examples[2]!.x[7]!, 9);
  });

  test("a model that predicts more than a number", () => {
    expect(() => standardize(examples, [], { inputs: 20, outputs: 2 })).toThrow(/one number, this one predicts 2$/);
  });

  test.each([
    [[examples[0]!], [], "standardize", "two at least, here are 1"],
    [[{ x: Array(21).fill(1), y: 1 }, examples[1]!], [], "examples[0].x", "has 21 numbers: the model takes up to 20"],
    [[examples[0]!, { x: [1, 2], y: 1 }], [], "examples[1].x", "has 2 numbers, examples[0].x has 3"],
    [examples, [[1]], "query[0]", "has 1 numbers, examples[0].x has 3"],
    [[examples[0]!, { x: [1, Number.NaN, 2], y: 1 }], [], "examples[1].x", "has NaN at 1"],
    [[examples[0]!, { x: [1, 2, 3], y: [1, 2] }], [], "examples[1].y", "must be a number"],
    [[examples[0]!, { x: [1, 2, 3], y: Number.POSITIVE_INFINITY }], [], "examples[1].y", "is Infinity"],
  ] as const)("what does not fit is named (%#)", (given, queries, param, message) => {
    expect(() => standardize(given as readonly Example[], queries as readonly (readonly number[])[], LINEAR)).toThrow(
      expect.objectContaining({ name: "ParameterError", param, message: expect.stringContaining(message) }),
    );
  });
});
