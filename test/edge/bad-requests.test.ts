import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { createApp } from "../../worker/edge/app.ts";
import { isolate } from "../../worker/edge/isolate.ts";
import { generation } from "./support/bad-fields.ts";
import { call, complete, errorOf, ORIGIN } from "./support/client.ts";

const prompt = "Once upon a time";

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
  expect(isolate.pool.stats()).toMatchObject([{ users: 0, loaded: true }]);
});
