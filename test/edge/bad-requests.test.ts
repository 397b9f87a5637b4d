import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { createApp } from "../../worker/edge/app.ts";
import { isolate } from "../../worker/edge/isolate.ts";
import {
  append,
  call,
  complete,
  errorOf,
  expectSameBytes,
  newSession,
  ORIGIN,
  session,
  state,
} from "./support/client.ts";

const prompt = "Once upon a time";

/** Field, value, and what the message must say: fields of generation, wrong in completions and in appends alike. */
const generation: [param: string, fields: unknown, message: RegExp][] = [
  ["max_tokens", { max_tokens: -1 }, /max_tokens is -1: it must be an integer, 0 or more/],
  ["max_tokens", { max_tokens: 1.5 }, /max_tokens is 1.5/],
  ["max_tokens", { max_tokens: "8" }, /max_tokens is "8"/],
  ["max_tokens", { max_tokens: 1e9 }, /max_tokens is 1000000000, .* may generate \d+/],
  ["temperature", { temperature: 2.1 }, /temperature is 2.1: it must be a number from 0 to 2/],
  ["temperature", { temperature: "hot" }, /temperature is "hot"/],
  ["temperature", '{"temperature":1e999,"prompt":"a","text":"a"}', /temperature is Infinity/],
  ["top_p", '{"top_p":-1e999,"prompt":"a","text":"a"}', /top_p is -Infinity/],
  ["top_p", { top_p: 0 }, /top_p is 0: it must be a number above 0, at most 1/],
  ["top_k", { top_k: -1 }, /top_k is -1/],
  ["min_p", { min_p: 2 }, /min_p is 2/],
  ["repetition_penalty", { repetition_penalty: 0 }, /repetition_penalty is 0/],
  ["frequency_penalty", { frequency_penalty: 3 }, /frequency_penalty is 3/],
  ["presence_penalty", { presence_penalty: -3 }, /presence_penalty is -3/],
  ["seed", { seed: -1 }, /seed is -1/],
  ["seed", { seed: 2 ** 53 }, /seed is 9007199254740992/],
  ["logit_bias", { logit_bias: [1] }, /logit_bias is \[1\]/],
  ["logit_bias.x", { logit_bias: { x: 1 } }, /token id/],
  ["logit_bias.5", { logit_bias: { 5: 101 } }, /logit_bias.5 is 101: it must be a number from -100 to 100/],
  ["logit_bias", { logit_bias: { 257: 1 } }, /257: it must be a token from 0 to 256/],
  ["stop", { stop: 5 }, /stop is 5: it must be a text, or a list of at most 16 texts/],
  ["stop", { stop: "" }, /stop is "": it must be a text of 1 to 256 characters/],
  ["stop[1]", { stop: ["a", ""] }, /stop\[1\] is "": it must be a text of 1 to 256 characters/],
  ["stop", { stop: "x".repeat(257) }, /1 to 256 characters/],
  ["stop", { stop: Array(17).fill("x") }, /at most 16/],
  ["stop", '{"stop":"\\ud800","prompt":"a","text":"a"}', /halves of surrogate pairs/],
  ["stream", { stream: "yes" }, /stream is "yes": it must be true or false/],
  ["stream_options", { stream_options: true }, /stream_options is true: it must be an object/],
  ["stream_options.x", { stream_options: { x: 1 } }, /unknown field "stream_options.x"/],
  ["logprobs", { logprobs: 6 }, /logprobs is 6: it must be an integer from 0 to 5/],
  ["logprobs", { logprobs: true }, /logprobs is true/],
  ["temprature", { temprature: 1 }, /unknown field "temprature".*leave it out/],
  ["typical_p", { typical_p: 0 }, /typical_p is 0: it must be a number above 0, at most 1/],
];

describe("POST /v1/completions", () => {
  const rows: [param: string | null, body: unknown, message: RegExp][] = [
    ...generation.map(([param, fields, message]): [string, unknown, RegExp] => [
      param,
      typeof fields === "string" ? fields.replace(/,?"text":"a"/, "") : { prompt, ...(fields as object) },
      message,
    ]),
    [
      "prompt",
      {},
      /prompt is missing: give a text, a list of at least one token id, or a list of at most 64 of either/,
    ],
    ["prompt", { prompt: null }, /prompt is null/],
    ["prompt", { prompt: "" }, /prompt is "": it must be a prompt of at least one token/],
    ["prompt", { prompt: [] }, /prompt is \[\]: it must be a text, a list of at least one token id, or a list of/],
    ["prompt[1]", { prompt: ["a", ""] }, /prompt\[1\] is "": it must be a prompt of at least one token/],
    ["prompt", { prompt: ["a", [1]] }, /prompt is \["a",\[1\]\]: it must be a text, a list of/],
    ["prompt[1]", { prompt: [[1], []] }, /prompt\[1\] is \[\]: it must be a list of at least one token id/],
    ["prompt", { prompt: Array(65).fill("a") }, /a list of at most 64 of either/],
    ["prompt[1][0]", { prompt: [[1], [300]] }, /prompt\[1\]\[0\] is token 300: the vocabulary of tiny@/],
    ["prompt", { prompt: [1.5] }, /prompt is \[1.5\]/],
    ["prompt[0]", { prompt: [-1] }, /prompt\[0\] is -1: it must be an integer, 0 or more/],
    ["prompt", { prompt: 7 }, /prompt is 7/],
    ["prompt[1]", { prompt: [5, 257] }, /prompt\[1\] is token 257: the vocabulary of tiny@.* has 257 tokens, 0 to 256/],
    [
      "prompt",
      { prompt: "a".repeat(2049) },
      /prompt has 2049 tokens, a request to tiny@.* may have 2048 \(MAX_PROMPT_TOKENS\): /,
    ],
    ["n", { prompt, n: 9 }, /n is 9: it must be an integer from 1 to 8/],
    ["best_of", { prompt, n: 3, best_of: 2 }, /best_of is 2, less than n, which is 3/],
    ["best_of", { prompt, best_of: 2, stream: true }, /best_of is 2 with stream/],
    ["echo", { prompt, echo: 1 }, /echo is 1: it must be true or false/],
    ["suffix", { prompt, suffix: "x" }, /suffix is "x"/],
    ["model", { prompt, model: 5 }, /model is 5/],
    [null, "{not json", /not JSON in UTF-8/],
    [null, new Uint8Array([0x22, 0xff, 0x22]), /not JSON in UTF-8/],
    [null, "[1]", /the body is \[1\]: it must be a JSON object/],
    [null, '"text"', /the body is "text": it must be a JSON object/],
  ];
  test.each(rows)("%s: %j is a 400", async (param, body, message) => {
    const error = await errorOf(await call("POST", "/v1/completions", body));
    expect(error).toMatchObject({
      status: 400,
      type: "invalid_request_error",
      param,
      message: expect.stringMatching(message),
    });
  });

  test("an unknown model is a 404 that lists the models", async () => {
    const error = await errorOf(await call("POST", "/v1/completions", { prompt, model: "gpt-5" }));
    expect(error).toMatchObject({ status: 404, param: "model", code: "model_not_found" });
    expect(error.message).toMatch(/tiny@/);
  });

  test("more than 4 MiB is a 413, whether the length is stated or not", async () => {
    const body = JSON.stringify({ prompt: "a".repeat(4 * 1024 * 1024) });
    expect(await errorOf(await call("POST", "/v1/completions", body))).toMatchObject({
      status: 413,
      code: "body_too_large",
    });
    const { readable, writable } = new TransformStream();
    void new Response(body).body!.pipeTo(writable).catch(() => {});
    const chunked = new Request(`${ORIGIN}/v1/completions`, { method: "POST", body: readable });
    const response = await createApp(isolate).fetch(chunked, env, createExecutionContext());
    expect(await errorOf(response)).toMatchObject({ status: 413, code: "body_too_large" });
  });

  test("megabytes of text are refused by their beginning", async () => {
    const error = await errorOf(await call("POST", "/v1/completions", { prompt: "a b".repeat(1_000_000) }));
    // "more than": the whole text was never split into tokens, which takes seconds.
    expect(error).toMatchObject({
      status: 400,
      param: "prompt",
      message: expect.stringMatching(/more than 2048 tokens/),
    });
  });
});

describe("of a session", () => {
  let id = "";
  let before: Uint8Array;
  beforeAll(async () => {
    id = (await newSession()).id;
    await append(id, { text: prompt, max_tokens: 4, seed: 1 });
    before = await state(id);
  });
  const untouched = async (): Promise<void> => expectSameBytes(await state(id), before);

  const rows: [param: string | null, body: unknown, message: RegExp][] = [
    ...generation.map(([param, fields, message]): [string, unknown, RegExp] => [
      param,
      typeof fields === "string" ? fields.replace(/,?"prompt":"a"/, "") : { text: prompt, ...(fields as object) },
      message,
    ]),
    ["text", { text: "" }, /text is "": it must be a text of at least one character/],
    ["text", { text: 5 }, /text is 5/],
    ["tokens", { tokens: [] }, /at least one token id/],
    ["tokens[0]", { tokens: ["a"] }, /tokens\[0\] is "a"/],
    ["tokens[2]", { tokens: [1, 2, 300] }, /tokens\[2\] is token 300/],
    ["tokens", { text: "a", tokens: [1] }, /send one of them/],
    ["text", { text: "a".repeat(2049) }, /text has 2049 tokens/],
    ["max_tokens", { max_tokens: 0 }, /give text to append/],
    ["prompt", { prompt: "a" }, /unknown field "prompt"/],
    ["model", { text: "a", model: "other" }, /unknown field "model"/],
    [null, "{", /not JSON/],
  ];
  test.each(rows)("append, %s: %j is a 400 and changes nothing", async (param, body, message) => {
    const error = await errorOf(await call("POST", `/v1/sessions/${id}/append`, body));
    expect(error).toMatchObject({ status: 400, param, message: expect.stringMatching(message) });
    await untouched();
  });

  test("the same in a stream is the same error, not an event", async () => {
    const body = { text: "a", logit_bias: { 300: 1 }, stream: true };
    const error = await errorOf(await call("POST", `/v1/sessions/${id}/append`, body));
    expect(error).toMatchObject({ status: 400, param: "logit_bias" });
    await untouched();
  });

  test("an append to a snapshot that is not retained is a 404 and changes nothing", async () => {
    const error = await errorOf(await call("POST", `/v1/sessions/${id}/append`, { text: "a", snapshot: "snap_0" }));
    expect(error).toMatchObject({ status: 404, code: "snapshot_not_found", param: "snapshot" });
    await untouched();
  });

  test("an empty session cannot go on from nothing", async () => {
    const empty = await newSession();
    const error = await errorOf(await call("POST", `/v1/sessions/${empty.id}/append`, { max_tokens: 4 }));
    expect(error).toMatchObject({ status: 400, param: "text" });
    expect(await errorOf(await call("GET", `/v1/sessions/${empty.id}/state`))).toMatchObject({
      status: 404,
      code: "no_state",
    });
  });

  const flipped = (at: number) => (bytes: Uint8Array) => bytes.with(at < 0 ? bytes.length + at : at, bytes.at(at)! ^ 1);
  test.each<[string, (bytes: Uint8Array) => Uint8Array, number, string]>([
    ["nothing", () => new Uint8Array(0), 422, "invalid_snapshot"],
    ["text", () => new TextEncoder().encode("hello"), 422, "invalid_snapshot"],
    ["one byte less", (b) => b.slice(0, -1), 422, "invalid_snapshot"],
    ["half", (b) => b.slice(0, b.length >> 1), 422, "invalid_snapshot"],
    ["one byte more", (b) => new Uint8Array([...b, 0]), 422, "invalid_snapshot"],
    ["a changed magic", flipped(0), 422, "invalid_snapshot"],
    ["a changed version", flipped(8), 422, "invalid_snapshot"],
    ["a changed header", flipped(40), 422, "invalid_snapshot"],
    ["a changed state", flipped(-100), 422, "invalid_snapshot"],
    ["a changed digest", flipped(-1), 422, "invalid_snapshot"],
    ["more than 8 MiB", () => new Uint8Array(8 * 1024 * 1024 + 1), 413, "body_too_large"],
  ])("PUT of %s is refused and changes nothing", async (_, change, status, code) => {
    const error = await errorOf(await call("PUT", `/v1/sessions/${id}/state`, change(before)));
    expect(error).toMatchObject({ status, code });
    await untouched();
  });

  test("PUT of another model's state is a 409", async () => {
    const other = await newSession({ model: "other" });
    await append(other.id, { text: prompt, max_tokens: 0 });
    const theirs = await state(other.id);
    for (const query of ["", "?allow_other_quantization=true"]) {
      const error = await errorOf(await call("PUT", `/v1/sessions/${id}/state${query}`, theirs));
      expect(error).toMatchObject({ status: 409, code: "snapshot_of_another_model" });
    }
    await untouched();
  });

  test("PUT with a wrong query is a 400", async () => {
    const error = await errorOf(await call("PUT", `/v1/sessions/${id}/state?allow_other_quantization=1`, before));
    expect(error).toMatchObject({ status: 400, param: "allow_other_quantization" });
  });

  test("fork with a wrong field, session of an unknown model", async () => {
    const error = await errorOf(await call("POST", `/v1/sessions/${id}/fork`, { from: "x" }));
    expect(error).toMatchObject({ status: 400, param: "from" });
    expect(await errorOf(await call("POST", "/v1/sessions", { model: "x" }))).toMatchObject({
      status: 404,
      param: "model",
    });
    expect(await errorOf(await call("POST", "/v1/sessions", { temperature: 1 }))).toMatchObject({
      status: 400,
      param: "temperature",
    });
  });

  test("after all of these the session goes on", async () => {
    await untouched();
    expect((await session(id)).snapshots).toHaveLength(1);
    expect((await append(id, { max_tokens: 2 })).session).toBe(id);
  });
});

describe("paths and methods", () => {
  test.each([
    "/v3",
    "/v1",
    "/v1/nothing",
    "/v1/sessions/a/b/c",
    "/weights/none/shard-000.bin",
    "/favicon.ico",
  ])("%s is a 404", async (path) => {
    expect(await errorOf(await call("GET", path))).toMatchObject({ status: 404, code: "not_found" });
  });

  test.each([
    ["GET", "/v1/completions", "POST"],
    ["DELETE", "/v1/models", "GET"],
    ["POST", "/v1/models/tiny", "GET"],
    ["PUT", "/v1/sessions", "GET, POST"],
    ["GET", "/v1/responses", "POST"],
    ["POST", "/v1/responses/x", "GET, DELETE"],
    ["DELETE", "/v1/responses/x/input_items", "GET"],
    ["PUT", "/v1/sessions/x", "GET, DELETE"],
    ["GET", "/v1/sessions/x/append", "POST"],
    ["DELETE", "/v1/sessions/x/fork", "POST"],
    ["POST", "/v1/sessions/x/state", "GET, PUT"],
    ["POST", "/healthz", "GET"],
    ["POST", "/", "GET"],
    ["PUT", "/openapi.json", "GET"],
  ])("%s %s is a 405 that allows %s", async (method, path, allow) => {
    const response = await call(method, path);
    expect(response.headers.get("allow")).toBe(allow);
    expect(await errorOf(response)).toMatchObject({ status: 405, code: "method_not_allowed" });
  });
});

test("an unexpected failure is a 500 with an id, and nothing of the inside", async () => {
  const lines: string[] = [];
  const app = createApp({
    ...isolate,
    catalog: { ...isolate.catalog, find: () => Promise.reject(new Error("secret detail")) },
  });
  const log = console.error;
  console.error = (line: string) => lines.push(line);
  try {
    const request = new Request(`${ORIGIN}/v1/completions`, { method: "POST", body: JSON.stringify({ prompt }) });
    const error = await errorOf(await app.fetch(request, env, createExecutionContext()));
    expect(error).toMatchObject({
      status: 500,
      type: "server_error",
      code: "internal_error",
      message: expect.stringMatching(/report error err_[0-9a-f]{16}$/),
    });
    expect(error.message).not.toContain("secret");
    const id = /err_\w+/.exec(error.message)![0];
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { id, where: "POST /v1/completions", detail: expect.stringContaining("secret detail") },
    ]);
  } finally {
    console.error = log;
  }
});

test("after all of these the model still answers", async () => {
  expect((await complete({ prompt, max_tokens: 2 })).usage!.completion_tokens).toBe(2);
  expect(isolate.pool.stats()).toMatchObject([{ users: 0, loaded: true }, { users: 0 }]);
});
