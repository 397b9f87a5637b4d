import { describe, expect, test } from "vitest";
import mamba from "../golden/icl-mamba/golden.json";
import mambaformer from "../golden/icl-mambaformer/golden.json";
import { call, errorOf, expectSameBytes, fork, newSession, session, state } from "./support/client.ts";
import { ask, examplesOf, expectClose, predicted } from "./support/icl.ts";

const goldens = [
  ["icl-mamba", mamba],
  ["icl-mambaformer", mambaformer],
] as const;

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
    [
      "a text model",
      { model: "tiny", query: [x] },
      "model",
      /tiny@\w+ is a language model: ask it through POST \/v1\/chat\/completions .*; here use one of icl-mamba@/,
    ],
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
    expect(appended).toMatchObject({
      status: 400,
      message: expect.stringMatching(
        /learns from examples and writes no text: ask it through POST \/v1\/icl\/predictions/,
      ),
    });
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
