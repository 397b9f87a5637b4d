import { describe, expect, test } from "vitest";
import { call, errorOf } from "./support/client.ts";

const messages = [{ role: "user", content: "a" }];

describe("an unknown field is told the known one that it is near to", () => {
  test.each([
    ["/v1/completions", { prompt: "a", topP: 0.5 }, "topP", "top_p"],
    ["/v1/completions", { prompt: "a", "max-tokens": 5 }, "max-tokens", "max_tokens"],
    ["/v1/completions", { prompt: "a", frequency_penality: 1 }, "frequency_penality", "frequency_penalty"],
    ["/v1/completions", { prompt: "a", max_tokesn: 1 }, "max_tokesn", "max_tokens"],
    ["/v1/completions", { messages }, "messages", "prompt"],
    ["/v1/completions", { prompt: "a", max_new_tokens: 5 }, "max_new_tokens", "max_tokens"],
    ["/v1/completions", { prompt: "a", repeat_penalty: 1.1 }, "repeat_penalty", "repetition_penalty"],
    [
      "/v1/completions",
      { prompt: "a", stream_options: { includeUsage: true } },
      "stream_options.includeUsage",
      "stream_options.include_usage",
    ],
    ["/v1/chat/completions", { prompt: "a" }, "prompt", "messages"],
    [
      "/v1/chat/completions",
      { messages: [{ role: "user", contents: "a" }] },
      "messages[0].contents",
      "messages[0].content",
    ],
    ["/v1/responses", { messages }, "messages", "input"],
    ["/v1/responses", { input: "a", max_tokens: 5 }, "max_tokens", "max_output_tokens"],
    ["/v1/icl/predictions", { queries: [[1]] }, "queries", "query"],
    ["/v1/icl/predictions", { examples: [{ x: [1], Y: 1 }] }, "examples[0].Y", "examples[0].y"],
  ])("%s %j", async (path, body, param, near) => {
    const error = await errorOf(await call("POST", path, body));
    expect(error).toMatchObject({ status: 400, code: "unknown_field", param });
    expect(error.message).toContain(`unknown field "${param}": did you mean ${near}?`);
  });

  test.each([
    ["/v1/completions", { prompt: "a", colour: "red" }],
    // Known, but only to be left out.
    ["/v1/chat/completions", { messages, audios: {} }],
    // What it would mean is there already.
    ["/v1/completions", { prompt: "a", text: "a" }],
  ])("%s %j is near to none", async (path, body) => {
    const error = await errorOf(await call("POST", path, body));
    expect(error).toMatchObject({ status: 400, code: "unknown_field" });
    expect(error.message).toMatch(/: it is not supported here and could change the result; leave it out/);
  });
});

describe("a path that there is not is told the one that was meant", () => {
  test.each([
    ["POST", "/chat/completions", "POST /v1/chat/completions"],
    ["GET", "/chat/completions", "POST /v1/chat/completions"],
    ["GET", "/models", "GET /v1/models"],
    ["GET", "/models/tiny", "GET /v1/models/tiny"],
    ["POST", "/sessions/sess_1/append", "POST /v1/sessions/sess_1/append"],
    ["POST", "/v1/v1/completions", "POST /v1/completions"],
    ["POST", "/v1/completions/", "POST /v1/completions"],
  ])("%s %s: %s", async (method, path, meant) => {
    const error = await errorOf(await call(method, path, method === "POST" ? {} : undefined));
    expect(error).toMatchObject({ status: 404, code: "not_found" });
    expect(error.message).toContain(
      `${method} ${path}: there is nothing here; did you mean ${meant}? The base URL of an OpenAI client ends in /v1, `,
    );
  });

  test("or only where all are listed", async () => {
    const { status, message } = await errorOf(await call("GET", "/v1/nothing"));
    expect([status, message]).toEqual([404, "GET /v1/nothing: there is nothing here; GET / lists the endpoints"]);
  });
});
