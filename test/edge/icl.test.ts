import { describe, expect, test } from "vitest";
import type { IclReply } from "../../worker/edge/schemas/icl.ts";
import mamba from "../golden/icl-mamba/golden.json";
import mambaformer from "../golden/icl-mambaformer/golden.json";
import { call, errorOf, expectSameBytes, fork, newSession, session, state } from "./support/client.ts";

const goldens = [
  ["icl-mamba", mamba],
  ["icl-mambaformer", mambaformer],
] as const;

const ask = (body: unknown): Promise<Response> => call("POST", "/v1/icl/predictions", body);
async function predicted(body: Record<string, unknown>): Promise<IclReply> {
  const response = await ask(body);
  const reply = await response.json<IclReply>();
  expect({ status: response.status, reply }).toMatchObject({ status: 200 });
  return reply;
}

const examplesOf = ({ xs, ys }: { xs: number[][]; ys: number[] }) => xs.map((x, i) => ({ x, y: ys[i]! }));
function expectClose(seen: unknown, wanted: readonly number[]): void {
  expect(seen).toHaveLength(wanted.length);
  const largest = Math.max(...wanted.map(Math.abs));
  (seen as number[]).forEach((v, i) => {
    expect(Math.abs(v - wanted[i]!) / largest).toBeLessThan(1e-4);
  });
}

describe.each(goldens)("POST /v1/icl/predictions on %s", (model, { cases }) => {
  test("predicts what the official implementation does", async () => {
    for (const golden of cases) {
      const examples = examplesOf(golden).slice(0, -1);
      const { predictions, before, usage } = await predicted({ model, examples, query: golden.xs.slice(-1) });
      expectClose([...before, ...predictions], golden.predictions);
      expect(usage).toMatchObject({
        examples: examples.length,
        cached_examples: 0,
        computed_positions: 2 * examples.length + 1,
      });
    }
  });

  test("a session learns an example at a time, each computed once, and may be asked at any point", async () => {
    const golden = cases[2]!;
    const { id } = await newSession({ model });
    const seen: unknown[] = [];
    for (const [i, example] of examplesOf(golden).entries()) {
      const asked = await predicted({ session: id, query: [example.x] });
      expect(asked.usage).toMatchObject({ examples: i, cached_examples: i, computed_positions: 1 });
      const told = await predicted({ session: id, examples: [example], query: [golden.xs[0]] });
      expect(told).toMatchObject({ session: id, snapshot: expect.stringMatching(/^snap_/) });
      expect(told.usage).toMatchObject({ examples: i + 1, cached_examples: i, computed_positions: 3 });
      expect(asked.predictions).toEqual(told.before);
      seen.push(...told.before);
    }
    expectClose(seen, golden.predictions);
    // In one go it is the same, bit for bit.
    const whole = await predicted({ model, examples: examplesOf(golden) });
    expect(whole.before).toEqual(seen);
    expect((await session(id)).tokens).toBe(2 * golden.xs.length);
  });

  test("asking changes nothing; a fork goes its own way", async () => {
    const examples = examplesOf(cases[1]!);
    const { id } = await newSession({ model });
    await predicted({ session: id, examples });
    const before = await state(id);
    const query = [cases[1]!.xs[0]!, cases[1]!.xs[1]!];
    const { predictions } = await predicted({ session: id, query });
    expect(await state(id)).toEqual(before);
    const { id: other } = await fork(id);
    await predicted({ session: other, examples });
    expect((await predicted({ session: id, query })).predictions).toEqual(predictions);
    expect((await predicted({ session: other, query })).predictions).not.toEqual(predictions);
    // Each query by itself: their order does not matter.
    const reversed = await predicted({ session: id, query: [...query].reverse() });
    expect(reversed.predictions).toEqual([...predictions].reverse());
  });
});

test("a Mamba's state has the same size all along, attention's grows", async () => {
  const sizes = async (model: string): Promise<number[]> => {
    const all = examplesOf(mamba.cases[2]!);
    const replies = await Promise.all([1, 12].map((n) => predicted({ model, examples: all.slice(0, n) })));
    return replies.map((r) => r.usage.state_bytes);
  };
  const [one, twelve] = await sizes("icl-mamba");
  expect(one).toBe(4 * 4 * (3 * 64 + 64 * 16)); // f32s of four layers
  expect(twelve).toBe(one);
  const [small, large] = await sizes("icl-mambaformer");
  expect(large! - small!).toBe(4 * 2 * 22 * 2 * 32); // f32s of two layers, 22 positions, k and v
});

describe("what cannot be answered", () => {
  const HUGE = [3e38, -3e38, 3e38, 3e38, 3e38];
  const x = [1, 2, 3, 4, 5];
  const model = "icl-mamba";
  const rows: [what: string, body: unknown, param: string | null, message: RegExp][] = [
    ["nothing", { model }, "query", /neither examples nor a query/],
    ["a text", "[1", null, /not JSON/],
    ["an unknown field", { model, query: [x], temperature: 1 }, "temperature", /unknown field/],
    ["examples that are none", { model, examples: 3 }, "examples", /a list of examples/],
    ["an example without y", { model, examples: [{ x }] }, "examples[0].y", /is missing/],
    ["an example with null", { model, examples: [{ x, y: null }] }, "examples[0].y", /is null: it must be a number/],
    ["NaN", `{"model":"${model}","examples":[{"x":[NaN],"y":1}]}`, null, /not JSON/],
    ["infinity", `{"model":"${model}","query":[[1,2,3,4,1e999]]}`, "query[0][4]", /it must be a finite number/],
    ["more than f32 holds", { model, query: [[1, 2, 3, 4, 1e39]] }, "query[0]", /query\[0\] has 1e\+39 at 4/],
    ["x too short", { model, examples: [{ x: [1], y: 1 }] }, "examples[0].x", /has 1 number: icl-mamba@\w+ takes 5/],
    ["y too long", { model, examples: [{ x, y: [1, 0, 0, 0, 0, 0] }] }, "examples[0].y", /has 6 numbers: .* a number/],
    ["y of more than is predicted", { model, examples: [{ x, y: [1, 2] }] }, "examples[0].y", /icl-mamba@\w+ predicts/],
    ["an empty y", { model, examples: [{ x, y: [] }] }, "examples[0].y", /at least one number/],
    ["query too long", { model, query: [[...x, 6]] }, "query[0]", /has 6 numbers: icl-mamba@\w+ takes 5/],
    ["a text model", { model: "tiny", query: [x] }, "model", /tiny@.* is a language model/],
    ["a query too large", { model, query: [x, HUGE] }, "query[1]", /at query\[1\] is not .* scale them to about 1/],
    [
      "an x too large",
      {
        model,
        examples: [
          { x, y: 1 },
          { x: HUGE, y: 1 },
        ],
      },
      "examples[1].x",
      /after examples\[1\]\.x .* scale them to about 1/,
    ],
    [
      "a y too large",
      {
        model,
        examples: [
          { x, y: 1 },
          { x, y: 3.4e38 },
        ],
        query: [x],
      },
      "examples[1].y",
      /after examples\[1\]\.y .* scale them to about 1/,
    ],
    [
      "too many at a time",
      { model, examples: Array(1025).fill({ x, y: 1 }) },
      "examples",
      /2050 positions, .* may take 2048/,
    ],
    [
      "more than attention holds",
      { model: "icl-short", examples: Array(6).fill({ x, y: 1 }) },
      "examples",
      /looks back at up to 10 positions, which are 4 examples and a query: 0 are there, 6 more would not fit/,
    ],
    [
      "examples that leave no room for a query",
      { model: "icl-short", examples: Array(5).fill({ x, y: 1 }) },
      "examples",
      /0 are there, 5 more would not fit/,
    ],
  ];
  test.each(rows)("%s is a 400", async (_, body, param, message) => {
    const error = await errorOf(await ask(body));
    expect(error).toMatchObject({ status: 400, param, message: expect.stringMatching(message) });
  });

  test("a session that took an example at a time as far as it goes can still be asked", async () => {
    const { id } = await newSession({ model: "icl-short" });
    const one = { session: id, examples: [{ x, y: 1 }] };
    for (let i = 0; i < 4; i++) await predicted(one);
    expect(await errorOf(await ask(one))).toMatchObject({ status: 400, param: "examples" });
    const { predictions, usage } = await predicted({ session: id, query: [x, x] });
    expect(predictions).toHaveLength(2);
    expect(usage).toMatchObject({ examples: 4, max_examples: 4 });
  });

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
    const { id } = await newSession({ model: name });
    for (const [body, param] of [
      [{ model: name, examples: [{ x, y: 1 }] }, "model"],
      [{ model: name, query: [x] }, "model"],
      [{ session: id, query: [x] }, "session"],
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

  test("an unknown model or session is a 404, both at once a 400", async () => {
    expect(await errorOf(await ask({ model: "none", query: [x] }))).toMatchObject({ status: 404 });
    expect(await errorOf(await ask({ session: "sess_0", query: [x] }))).toMatchObject({
      status: 404,
      param: "session",
    });
    const { id } = await newSession({ model });
    expect(await errorOf(await ask({ model, session: id, query: [x] }))).toMatchObject({ status: 400, param: "model" });
    expect((await call("GET", "/v1/icl/predictions")).status).toBe(405);
  });

  test("a session of a text model is refused, and one of ours makes no text", async () => {
    const { id } = await newSession({ model: "tiny" });
    expect(await errorOf(await ask({ session: id, query: [x] }))).toMatchObject({ status: 400, param: "session" });
    const { id: ours } = await newSession({ model });
    const appended = await errorOf(await call("POST", `/v1/sessions/${ours}/append`, { text: "a" }));
    expect(appended).toMatchObject({ status: 400, message: expect.stringMatching(/no tokenizer/) });
  });

  test("a y too large, alone or last, is not stored: the session keeps what it has", async () => {
    const { id } = await newSession({ model });
    await predicted({ session: id, examples: [{ x, y: 1 }] });
    const [stored, info] = [await state(id), await session(id)];
    const refused = await errorOf(await ask({ session: id, examples: [{ x, y: 3.4e38 }] }));
    expect(refused).toMatchObject({ status: 400, param: "examples[0].y" });
    expectSameBytes(await state(id), stored);
    expect((await session(id)).snapshots).toEqual(info.snapshots);
    expect((await predicted({ session: id, query: [x] })).usage).toMatchObject({ examples: 1 });
  });

  test("a session that is full keeps what it has", async () => {
    const { id } = await newSession({ model: "icl-short" });
    const four = { session: id, examples: Array(4).fill({ x, y: 1 }) };
    await predicted(four);
    expect(await errorOf(await ask(four))).toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      message: expect.stringMatching(/4 are there, 4 more/),
    });
    expect((await predicted({ session: id, query: [x] })).usage).toMatchObject({ examples: 4, max_examples: 4 });
    expect((await predicted({ model, query: [x] })).usage.max_examples).toBe(null);
  });
});

describe("POST /v2/models/{name}/infer with vectors", () => {
  const golden = mambaformer.cases[1]!;
  const rows = golden.xs.flatMap((x, i) => [x, [golden.ys[i]!, 0, 0, 0, 0]]).slice(0, -1);
  const tensor = (fields: Record<string, unknown> = {}) => ({
    name: "vectors",
    datatype: "FP32",
    shape: [rows.length, 5],
    data: rows.flat(),
    ...fields,
  });
  const infer = (body: unknown, model = "icl-mambaformer") => call("POST", `/v2/models/${model}/infer`, body);
  interface Reply {
    outputs: { name: string; datatype: string; shape: number[]; data: number[] }[];
  }

  test("says what it is fed", async () => {
    expect(await (await call("GET", "/v2/models/icl-mamba")).json()).toMatchObject({
      inputs: [{ name: "vectors", datatype: "FP32", shape: [1, -1, 5] }],
      outputs: [{ name: "outputs", datatype: "FP32" }],
    });
  });

  test("gives the outputs of the last position, or of all", async () => {
    const batch = { shape: [1, rows.length, 5], datatype: "FP64" };
    const forms = [tensor(), tensor({ data: rows }), tensor(batch), tensor({ ...batch, data: [rows] })];
    for (const form of forms) {
      const all = await (await infer({ inputs: [form], parameters: { positions: "all" } })).json<Reply>();
      expect(all.outputs).toMatchObject([{ name: "outputs", datatype: "FP32", shape: [1, rows.length, 1] }]);
      expectClose(
        all.outputs[0]!.data.filter((_, i) => i % 2 === 0),
        golden.predictions,
      );
      const last = await (await infer({ id: "mine", inputs: [form], outputs: [{ name: "outputs" }] })).json<Reply>();
      expect(last).toMatchObject({ id: "mine", outputs: [{ shape: [1, 1], data: all.outputs[0]!.data.slice(-1) }] });
    }
  });

  const bad: [what: string, body: unknown, message: RegExp][] = [
    ["tokens", { inputs: [tensor({ name: "tokens" })] }, /inputs\[0\].name is "tokens": .*this model is fed vectors/],
    ["whole numbers", { inputs: [tensor({ datatype: "INT32" })] }, /datatype is "INT32"/],
    ["another width", { inputs: [tensor({ shape: [15, 3] })] }, /vectors of 5 numbers: it must be \[n, 5\]/],
    ["a batch", { inputs: [tensor({ shape: [2, 5, 5] })] }, /must be \[n, 5\] or \[1, n, 5\]/],
    ["another count", { inputs: [tensor({ shape: [4, 5] })] }, /takes 20 numbers, the data are 45/],
    ["uneven rows", { inputs: [tensor({ data: [[1, 2, 3, 4, 5], [1]] })] }, /row 1 of inputs\[0\].data has 1 numbers/],
    ["uneven rows of a batch", { inputs: [tensor({ shape: [1, 2, 5], data: [[[1, 2, 3, 4, 5], [1]]] })] }, /row 1 of/],
    [
      "a batch where the shape has none",
      { inputs: [tensor({ data: [rows] })] },
      /^inputs\[0\].data is nested as \[1,9,5\], inputs\[0\].shape is \[9,5\]: give the numbers flat, or nested as the shape says$/,
    ],
    [
      "no batch where the shape has one",
      { inputs: [tensor({ shape: [1, 9, 5], data: rows })] },
      /data is nested as \[9,5\], inputs\[0\].shape is \[1,9,5\]: /,
    ],
    ["an empty batch", { inputs: [tensor({ data: [[]] })] }, /row 0 of inputs\[0\].data has 0 numbers/],
    ["null", { inputs: [tensor({ data: [null] })] }, /data/],
    ["two lists of rows", { inputs: [tensor({ data: [rows, rows] })] }, /data/],
    [
      "deeper lists",
      { inputs: [tensor({ data: [[rows]] })] },
      /^inputs\[0\].data\[0\]\[0\] is \[\[.*it must be a finite number/,
    ],
    ["more than f32 holds", { inputs: [tensor({ shape: [1, 5], data: [1, 2, 3, 4, 1e39] })] }, /number 4 .* 1e\+39/],
    ["no tensor", { inputs: [] }, /inputs is \[\]/],
    ["log_probs", { inputs: [tensor()], outputs: [{ name: "log_probs" }] }, /outputs\[0\].name is "log_probs"/],
  ];
  test.each(bad)("%s is a 400", async (_, body, message) => {
    const response = await infer(body);
    expect([response.status, await response.json()]).toEqual([400, { error: expect.stringMatching(message) }]);
  });

  test("more than a request may have is a 400 with both numbers", async () => {
    const response = await infer({ inputs: [tensor({ shape: [2049, 5], data: Array(10_245).fill(0) })] }, "icl-mamba");
    expect([response.status, await response.json()]).toEqual([
      400,
      { error: expect.stringMatching(/2049 vectors, a request to icl-mamba@\w+ may have 2048: /) },
    ]);
  });

  test("more than attention holds is a 400 with both numbers", async () => {
    const response = await infer({ inputs: [tensor({ shape: [11, 5], data: Array(55).fill(0) })] }, "icl-short");
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: expect.stringMatching(/11 vectors, .* holds at most 10 positions/),
    });
  });
});
