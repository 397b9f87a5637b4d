import { expect, test } from "vitest";
import { call, errorOf, newSession } from "./support/client.ts";
import { ask, predicted } from "./support/icl.ts";

const x = [1, 2, 3, 4, 5];
const model = "icl-mamba";

test("more examples than a model was trained with are answered, with a note that says so", async () => {
  const one = { x, y: 1 };
  const { id } = await newSession({ model: "icl-short" });
  const three = await predicted({ session: id, examples: [one, one, one], query: [x] });
  expect(three.usage).toMatchObject({ examples: 3, trained_examples: 3 });
  expect(three).not.toHaveProperty("note");
  const note =
    "icl-short was trained with up to 3 examples before a question and has 4: the further beyond, the worse its predictions may be";
  expect(await predicted({ session: id, examples: [one] })).toMatchObject({ note });
  expect(await predicted({ session: id, query: [x] })).toMatchObject({ note, usage: { trained_examples: 3 } });
  // Of others nobody knows.
  const many = await predicted({ model, examples: Array(200).fill(one) });
  expect(many.usage.trained_examples).toBe(null);
  expect(many).not.toHaveProperty("note");
});

test.each([
  ["icl-short", 4, 3],
  ["icl-mambaformer", 100, null],
  ["icl-mamba", null, null],
])("%s says beforehand that it holds %s examples and was trained with %s", async (name, most, trained) => {
  const one = await (await call("GET", `/v1/models/${name}`)).json();
  expect(one).toMatchObject({ max_examples: most, trained_examples: trained });
  const { data } = await (await call("GET", "/v1/models")).json<{ data: { name: string }[] }>();
  expect(data.find((entry) => entry.name === name)).toEqual(one);
  expect(data.find((entry) => entry.name === "tiny")).not.toHaveProperty("max_examples");
  expect(data.find((entry) => entry.name === "tiny")).not.toHaveProperty("trained_examples");
  expect(await (await call("GET", `/v2/models/${name}`)).json()).toMatchObject({
    parameters: { max_examples: most, trained_examples: trained },
  });
});

test("a model without interleaving takes vectors, says so, and is nobody's default", async () => {
  const name = "icl-vectors";
  const one = await (await call("GET", `/v1/models/${name}`)).json();
  expect(one).toMatchObject({ interleave: false });
  expect(one).not.toHaveProperty("max_examples");
  expect(await (await call("GET", `/v2/models/${name}`)).json()).toMatchObject({ parameters: { interleave: false } });
  const refused = await errorOf(await call("POST", "/v1/sessions", { model: name }));
  expect(refused).toMatchObject({
    status: 400,
    param: "model",
    message: expect.stringMatching(/^icl-vectors@\w+ .* \/v2\/models\/icl-vectors\/infer/),
  });
  for (const [body, param] of [
    [{ model: name, examples: [{ x, y: 1 }] }, "model"],
    [{ model: name, query: [x] }, "model"],
  ] as const) {
    expect(await errorOf(await ask(body))).toMatchObject({
      status: 400,
      param,
      message: expect.stringMatching(
        /^icl-vectors@\w+ was trained without interleaving .* \/v2\/models\/icl-vectors\/infer/,
      ),
    });
  }
  const inputs = [{ name: "vectors", datatype: "FP32", shape: [2, 5], data: [x, x] }];
  const { outputs } = await (await call("POST", `/v2/models/${name}/infer`, { inputs })).json<{
    outputs: unknown[];
  }>();
  expect(outputs).toMatchObject([{ shape: [1, 5] }]);
  // Its folder comes before the others'.
  expect((await predicted({ query: [x] })).model).toMatch(/^icl-mamba@/);
});
