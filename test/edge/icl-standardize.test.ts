import { describe, expect, test } from "vitest";
import { standardize } from "../../worker/engine/standardize.ts";
import { errorOf, newSession } from "./support/client.ts";
import { ask, predicted } from "./support/icl.ts";

/** Two numbers an example, of a model that takes five: y = 3·a − 2·b + 50. */
const examples = Array.from({ length: 9 }, (_, i) => {
  const [a, b] = [(7 * i) % 10, (3 * i * i) % 10];
  return { x: [a, b], y: 3 * a - 2 * b + 50 };
});
const query = [
  [5, 5],
  [1, 9],
];
const model = "icl-mamba";

describe("POST /v1/icl/predictions with standardize", () => {
  test.each([9, 6])("predicts what it says of the scaled examples, in y's units (%i examples)", async (count) => {
    const given = examples.slice(0, count);
    const scaled = standardize(given, query, { inputs: 5, outputs: 1 });
    const plain = await predicted({ model, examples: scaled.examples, query: scaled.queries });
    const { predictions, before, standardized, usage } = await predicted({
      model,
      examples: given,
      query,
      standardize: true,
    });
    expect(standardized).toEqual({ x: scaled.x, y: scaled.y, rest: count > 6 ? "noise" : "spread" });
    const restored = (values: unknown) => (values as number[]).map(scaled.restore);
    expect(predictions).toEqual(restored(plain.predictions));
    expect(before).toEqual(restored(plain.before));
    expect(usage.examples).toBe(count);
  });

  test("false and null are as if not given", async () => {
    const body = { model, examples: [{ x: [1, 2, 3, 4, 5], y: 1 }], query: [[1, 2, 3, 4, 5]] };
    const plain = await predicted(body);
    expect(plain.standardized).toBeUndefined();
    for (const given of [false, null]) expect(await predicted({ ...body, standardize: given })).toEqual(plain);
  });

  test.each([
    ["one example", { model, examples: examples.slice(0, 1), standardize: true }, "standardize", /two at least/],
    ["none", { model, query, standardize: true }, "standardize", /here are 0/],
    [
      "more numbers",
      { model, examples: [...examples, { x: [1, 2, 3], y: 1 }], standardize: true },
      "examples[9].x",
      /3 numbers/,
    ],
    ["a query of others", { model, examples, query: [[1]], standardize: true }, "query[0]", /examples\[0\]\.x has 2/],
    ["another kind", { model, examples, standardize: "yes" }, "standardize", /true or false/],
  ])("%s is a 400 that names it", async (_, body, param, message) => {
    const response = await ask(body);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ param, message: expect.stringMatching(message) });
  });

  test("a session is told why not, and keeps what it has", async () => {
    const { id } = await newSession({ model });
    const response = await ask({ session: id, examples, standardize: true });
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({
      param: "standardize",
      message: expect.stringMatching(/one after another/),
    });
    expect((await predicted({ session: id, query: [[1, 2, 3, 4, 5]] })).usage.examples).toBe(0);
  });
});
