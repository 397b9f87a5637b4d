import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Env } from "../../worker/edge/env.ts";
import type { ResponseObject } from "../../worker/edge/schemas/response.ts";
import { call, errorOf, ORIGIN } from "./support/client.ts";
import { events, input, path } from "./support/responses.ts";
import { app, letters, send } from "./support/storing.ts";

describe("what is wrong", () => {
  const message = { role: "user", content: "a" };
  test.each<[string, Record<string, unknown>, string?]>([
    ["input", {}, "missing_field"],
    ["input", { input: null }],
    ["input", { input: [] }],
    ["input", { input: 5 }],
    ["input", { input: { role: "user", content: "a" } }],
    ["input[0].role", { input: [{ role: "tool", content: "a" }] }],
    ["input[0].role", { input: [{ type: "function_call_output", call_id: "c", output: "o" }] }, "missing_field"],
    ["input[0].type", { input: [{ ...message, type: "item_reference" }] }],
    ["input[0].content", { input: [{ role: "user" }] }, "missing_field"],
    ["input[0].content[0].type", { input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] }],
    ["input[0].content[0].type", { input: [{ role: "user", content: [{ type: "output_text", text: "x" }] }] }],
    [
      "input[1].content[0].type",
      { input: [message, { role: "assistant", content: [{ type: "refusal", refusal: "no" }] }] },
    ],
    ["input[0].name", { input: [{ ...message, name: "b" }] }, "unknown_field"],
    ["input", { input: [{ role: "assistant", content: "I speak first." }] }],
    ["input", { input: "a".repeat(5000) }, "context_length_exceeded"],
    ["max_output_tokens", { input, max_output_tokens: 0 }],
    ["max_output_tokens", { input, max_output_tokens: 1e9 }, "context_length_exceeded"],
    ["max_tokens", { input, max_tokens: 5 }, "unknown_field"],
    ["messages", { input, messages: [message] }, "unknown_field"],
    ["n", { input, n: 2 }, "unknown_field"],
    ["temperature", { input, temperature: 3 }],
    ["logit_bias", { input, logit_bias: { 9999: 1 } }],
    ["tools", { input, tools: [{ type: "web_search" }] }],
    ["tool_choice", { input, tool_choice: "required" }],
    ["reasoning.effort", { input, reasoning: { effort: "low" } }],
    ["reasoning.summary", { input, reasoning: { summary: "auto" } }],
    ["reasoning", { input, reasoning: "low" }],
    ["background", { input, background: true }],
    ["conversation", { input, conversation: "conv_1" }],
    ["prompt", { input, prompt: { id: "p" } }],
    ["text.verbosity", { input, text: { verbosity: "low" } }],
    ["truncation", { input, truncation: "on" }],
    ["include[0]", { input, include: ["everything"] }],
    ["top_logprobs", { input, top_logprobs: 2 }],
    ["top_logprobs", { input, include: ["message.output_text.logprobs"], top_logprobs: 21 }],
    ["metadata", { input, metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`${i}`, ""])) }],
    ["metadata.a", { input, metadata: { a: "x".repeat(513) } }],
    ["previous_response_id", { input, previous_response_id: 5 }],
    ["stream_options.include_usage", { input, stream_options: { include_usage: true } }, "unknown_field"],
  ])("%s: %j is a 400 that names it", async (param, body, code = "invalid_value") => {
    const error = await errorOf(await call("POST", path, { model: "chat", ...body }));
    expect(error).toMatchObject({ status: 400, param, code });
    // Before a stream begins, the same.
    const streamed = await errorOf(await call("POST", path, { model: "chat", stream: true, ...body }));
    expect(streamed).toMatchObject({ status: 400, param, code });
  });

  test("a failure after the first event is told as response.failed, and nothing is stored", async () => {
    const body = { model: "chat", input: "Fail.", max_output_tokens: 64, seed: 1, logit_bias: letters, stream: true };
    const failing = { ...env, RESPONSES: { getByName: () => ({ put: () => Promise.reject(new Error("down")) }) } };
    const context = createExecutionContext();
    const request = new Request(`${ORIGIN}${path}`, { method: "POST", body: JSON.stringify(body) });
    const response = await app.fetch(request, failing as unknown as Env, context);
    const all = await events(response);
    await waitOnExecutionContext(context);
    const { response: reply } = all.at(-1) as unknown as { response: ResponseObject };
    expect(all.at(-1)).toMatchObject({
      type: "response.failed",
      response: {
        status: "failed",
        store: false,
        error: { code: "server_error", message: expect.stringMatching(/err_/) },
      },
    });
    expect((await send("GET", `${path}/${reply.id}`)).status).toBe(404);
  });
});
