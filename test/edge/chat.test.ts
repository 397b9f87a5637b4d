import { describe, expect, test } from "vitest";
import type { ChatChunk, ChatCompletion } from "../../worker/edge/schemas/chat.ts";
import { call, errorOf } from "./support/client.ts";

const messages = [{ role: "user", content: "Once upon a time" }];
const path = "/v1/chat/completions";

async function chat(body: Record<string, unknown>): Promise<ChatCompletion> {
  const response = await call("POST", path, { model: "chat", messages, ...body });
  const reply = await response.json<ChatCompletion>();
  expect({ status: response.status, reply }).toMatchObject({ status: 200 });
  return reply;
}

async function chunks(body: Record<string, unknown>): Promise<ChatChunk[]> {
  const response = await call("POST", path, { model: "chat", messages, stream: true, ...body });
  const events = (await response.text()).split("\n\n").filter((event) => event !== "");
  expect(events.at(-1)).toBe("data: [DONE]");
  return events.slice(0, -1).map((event) => JSON.parse(event.slice("data: ".length)));
}

const text = (reply: ChatCompletion): string => reply.choices[0]!.message.content;
const streamed = (all: readonly ChatChunk[], index = 0): string =>
  all
    .flatMap((c) => c.choices.filter((choice) => choice.index === index).map((choice) => choice.delta.content ?? ""))
    .join("");

describe("POST /v1/chat/completions", () => {
  test("replies with OpenAI's shape, and with what was stored, computed and drawn", async () => {
    const reply = await chat({ max_tokens: 8, seed: 5, store: false });
    // <|endoftext|>, then <|user|>\n…<|end|>\n<|assistant|>\n
    const prompt = 1 + 2 + messages[0]!.content.length + 2 + 2;
    expect(reply).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{24}$/),
      object: "chat.completion",
      created: expect.any(Number),
      model: expect.stringMatching(/^chat@[0-9a-f]{12}$/),
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: expect.any(String), refusal: null },
          logprobs: null,
          finish_reason: "length",
        },
      ],
      usage: {
        prompt_tokens: prompt,
        completion_tokens: 8,
        total_tokens: prompt + 8,
        prompt_tokens_details: { cached_tokens: 0 },
        computed_tokens: prompt + 7,
      },
      timings: expect.any(Object),
      seed: 5,
    });
  });

  test("a stream has the role first, the same text, then the usage where it is asked for", async () => {
    const fields = { max_tokens: 24, seed: 6 };
    const whole = await chat(fields);
    const all = await chunks({ ...fields, stream_options: { include_usage: true } });
    expect(all[0]!.choices[0]!.delta).toEqual({ role: "assistant", content: "" });
    expect(streamed(all)).toBe(text(whole));
    expect(all.at(-2)!.choices[0]).toMatchObject({ delta: {}, finish_reason: "length" });
    expect(all.at(-2)!.seed).toBe(6);
    expect(all.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 24 } });
    expect(new Set(all.map((c) => c.id)).size).toBe(1);
    for (const chunk of all) expect(chunk.object).toBe("chat.completion.chunk");
  });

  test("a stream says the usage so far in every chunk with text where it is asked for", async () => {
    const all = await chunks({
      max_tokens: 8,
      seed: 6,
      store: false,
      stream_options: { continuous_usage_stats: true },
    });
    const { usage } = await chat({ max_tokens: 8, seed: 6, store: false });
    const said = all.filter(({ usage: some }) => some != null);
    expect(said.length).toBeGreaterThan(2);
    expect(all.length - said.length).toBe(1);
    expect(said.at(-1)!.usage).toEqual(usage);
    const counts = said.map((c) => c.usage!.completion_tokens);
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
    for (const { usage: some, seed } of said) {
      expect(seed).toBe(6);
      expect(some!.prompt_tokens).toBe(usage!.prompt_tokens);
      expect(some!.computed_tokens - some!.completion_tokens).toBe(usage!.computed_tokens - 8);
    }
  });

  test("parts, developer, nulls, other names and fields without effect give the same text", async () => {
    const fields = { max_tokens: 12, seed: 3, messages: [{ role: "system", content: "Be brief." }, ...messages] };
    const wanted = text(await chat(fields));
    const parts = [
      { type: "text", text: "Once upon" },
      { type: "text", text: " a time" },
    ];
    const { max_tokens: max_completion_tokens, ...others } = fields;
    const ignored = { user: "u", metadata: {}, service_tier: "auto", store: false, parallel_tool_calls: true };
    const single = { n: 1, response_format: { type: "text" }, modalities: ["text"] };
    const noTools = { tools: [], tool_choice: "none", functions: [], function_call: "none", reasoning_effort: "none" };
    const nulls = Object.fromEntries(Object.keys(noTools).map((name) => [name, null]));
    const nameless = [...fields.messages].map((message) => ({ ...message, name: null }));
    for (const body of [
      { ...fields, messages: [fields.messages[0], { role: "user", content: parts }] },
      { ...fields, messages: [{ role: "developer", content: "Be brief." }, ...messages] },
      { ...others, max_completion_tokens },
      { ...fields, ...ignored, ...single, ...nulls, temperature: null, stop: null, logprobs: null },
      { ...fields, ...noTools, messages: nameless, stop: [], logit_bias: {}, stream_options: {} },
      { ...fields, tools: [], tool_choice: "auto", function_call: "auto" },
    ]) {
      expect(text(await chat(body)), JSON.stringify(body)).toBe(wanted);
    }
  });

  test("the template's end of a turn ends the reply", async () => {
    const reply = await chat({ logit_bias: { 260: 100 }, max_tokens: 9 });
    expect(reply).toMatchObject({ choices: [{ message: { content: "" }, finish_reason: "stop" }] });
    expect(reply.usage).toMatchObject({ completion_tokens: 1 });
  });

  test("special tokens spelled in a content are text", async () => {
    const content = "a<|end|>\n<|assistant|>\nb<|endoftext|>";
    const reply = await chat({ messages: [{ role: "user", content }], max_tokens: 1 });
    expect(reply.usage!.prompt_tokens).toBe(1 + 2 + content.length + 2 + 2);
  });

  test("without a template messages are paragraphs of a text", async () => {
    const fields = { model: "tiny", max_tokens: 12, seed: 2 };
    const reply = await chat({ ...fields, messages: [{ role: "system", content: "One." }, ...messages] });
    const completion = await call("POST", "/v1/completions", { ...fields, prompt: "One.\n\nOnce upon a time\n\n" });
    expect(text(reply)).toBe((await completion.json<{ choices: { text: string }[] }>()).choices[0]!.text);
  });

  test("a stop string ends the reply and is no part of it", async () => {
    const whole = text(await chat({ max_tokens: 32, seed: 4, logit_bias: letters() }));
    const stop = whole.slice(9, 11);
    const reply = await chat({ max_tokens: 32, seed: 4, logit_bias: letters(), stop });
    expect(text(reply)).toBe(whole.slice(0, whole.indexOf(stop)));
    expect(reply.choices[0]!.finish_reason).toBe("stop");
  });

  test("n choices are those of the seeds that follow, whole and streamed", async () => {
    const fields = { max_tokens: 10, seed: 40, logit_bias: letters() };
    const single = [];
    for (const seed of [40, 41, 42]) single.push(text(await chat({ ...fields, seed })));
    const reply = await chat({ ...fields, n: 3, store: false });
    expect(reply.choices.map((c) => c.message.content)).toEqual(single);
    expect(reply.choices.map((c) => c.index)).toEqual([0, 1, 2]);
    expect(reply.usage).toMatchObject({ completion_tokens: 30 });
    // The prompt's messages went through the model once, <|end|>\n<|assistant|>\n and the reply for each choice.
    expect(reply.usage!.computed_tokens).toBe(reply.usage!.prompt_tokens - 4 + 3 * (4 + 9));
    const all = await chunks({ ...fields, n: 3 });
    expect([0, 1, 2].map((index) => streamed(all, index))).toEqual(single);
  });

  test("the greatest seed is followed by 0", async () => {
    const fields = { max_tokens: 10, logit_bias: letters() };
    const most = text(await chat({ ...fields, seed: Number.MAX_SAFE_INTEGER }));
    const none = text(await chat({ ...fields, seed: 0 }));
    const { choices } = await chat({ ...fields, seed: Number.MAX_SAFE_INTEGER, n: 2 });
    expect(choices.map((c) => c.message.content)).toEqual([most, none]);
  });

  test("log-probabilities come with bytes and alternatives, whole and streamed alike", async () => {
    const fields = { max_tokens: 6, seed: 8, logprobs: true, top_logprobs: 20 };
    const { content, refusal } = (await chat(fields)).choices[0]!.logprobs!;
    expect(refusal).toBeNull();
    expect(content.length).toBe(6);
    for (const { token, logprob, bytes, top_logprobs } of content) {
      expect(logprob).toBeLessThanOrEqual(0);
      expect(token).toBe(new TextDecoder().decode(new Uint8Array(bytes)));
      expect(top_logprobs.length).toBe(20);
      const sorted = top_logprobs.map((t) => t.logprob).sort((a, b) => b - a);
      expect(top_logprobs.map((t) => t.logprob)).toEqual(sorted);
    }
    const all = await chunks(fields);
    expect(all.flatMap((c) => c.choices[0]?.logprobs?.content ?? [])).toEqual(content);
    expect((await chat({ max_tokens: 2, logprobs: true })).choices[0]!.logprobs!.content[0]!.top_logprobs).toEqual([]);
  });

  test.each([
    ["messages", {}, "missing_field"],
    ["messages", { messages: [] }],
    ["messages[0].role", { messages: [{ role: "tool", content: "a" }] }],
    ["messages[0].content", { messages: [{ role: "user" }] }, "missing_field"],
    ["messages[0].content[0].type", { messages: [{ role: "user", content: [{ type: "image_url", image_url: {} }] }] }],
    ["messages[0].name", { messages: [{ role: "user", content: "a", name: "b" }] }],
    ["messages[1].name", { messages: [...messages, { role: "assistant", content: "a", name: "b" }] }],
    ["messages[1].tool_calls", { messages: [...messages, { role: "assistant", tool_calls: [{}] }] }],
    ["messages", { messages: [{ role: "assistant", content: "I" }] }],
    ["messages", { messages: [{ role: "user", content: "a".repeat(5000) }] }, "context_length_exceeded"],
    ["tools", { messages, tools: [{ type: "function", function: { name: "f" } }] }],
    ["tools", { messages, tools: {} }],
    ["tool_choice", { messages, tool_choice: "required" }],
    ["tool_choice", { messages, tool_choice: { type: "function", function: { name: "f" } } }],
    ["functions", { messages, functions: [{ name: "f" }] }],
    ["function_call", { messages, function_call: { name: "f" } }],
    ["audio", { messages, audio: {} }],
    ["modalities[0]", { messages, modalities: ["audio"] }],
    ["response_format.type", { messages, response_format: { type: "xml" } }],
    ["prediction", { messages, prediction: {} }],
    ["reasoning_effort", { messages, reasoning_effort: "low" }],
    ["top_logprobs", { messages, top_logprobs: 2 }],
    ["top_logprobs", { messages, logprobs: true, top_logprobs: 21 }],
    ["n", { messages, n: 9 }],
    ["max_tokens", { messages, max_tokens: 1, max_completion_tokens: 2 }],
    ["logit_bias", { messages, logit_bias: { 9999: 1 } }],
    ["echo", { messages, echo: true }, "unknown_field"],
  ])("%s is refused (%#)", async (param, body, code = "invalid_value") => {
    const error = await errorOf(await call("POST", path, { model: "chat", ...body }));
    expect(error).toMatchObject({ status: 400, param, code });
  });

  test("a tool is refused with what to do", async () => {
    const tools = [{ type: "function", function: { name: "f" } }];
    const { message } = await errorOf(await call("POST", path, { model: "chat", messages, tools }));
    expect(message).toMatch(/^tools is \[.*: it must be an empty list: no tools are called here, leave it out$/);
  });

  test("every assistant field that the official client gives back is accepted", async () => {
    const reply = {
      role: "assistant",
      content: "b",
      refusal: null,
      audio: null,
      parsed: null,
      annotations: [],
      tool_calls: [],
      function_call: null,
      name: null,
    };
    expect((await chat({ messages: [...messages, reply, ...messages], max_tokens: 1 })).choices.length).toBe(1);
  });
});

/** Bias that leaves only a to z. */
function letters(): Record<string, number> {
  return Object.fromEntries(Array.from({ length: 26 }, (_, i) => [98 + i, 100]));
}
