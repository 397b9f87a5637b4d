import {
  createExecutionContext,
  runDurableObjectAlarm,
  runInDurableObject,
  waitOnExecutionContext,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { createApp } from "../../worker/edge/app.ts";
import type { Env } from "../../worker/edge/env.ts";
import { isolate } from "../../worker/edge/isolate.ts";
import { hex } from "../../worker/edge/prefixes/boundary-hashes.ts";
import type { ChatCompletion } from "../../worker/edge/schemas/chat.ts";
import type { InputItemList, ResponseObject } from "../../worker/edge/schemas/response.ts";
import { call, errorOf, expectSameBytes, ORIGIN } from "./support/client.ts";

const path = "/v1/responses";
const input = "Once upon a time";
const app = createApp(isolate);
/** Leaves only a to z: a text whose tokens are those that were sampled. */
const letters = Object.fromEntries(Array.from({ length: 26 }, (_, i) => [98 + i, 100]));
/** Tokens of <|end|>\n<|user|>\n, and of <|end|>\n<|assistant|>\n. */
const FRAME = 4;

type Variables = Partial<Env> & { key?: string };

/** Waits until all is kept that a request keeps. */
async function send(method: string, url: string, body?: unknown, { key = "", ...variables }: Variables = {}) {
  const context = createExecutionContext();
  const init = {
    method,
    headers: { authorization: `Bearer ${key}` },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  };
  const response = await app.fetch(new Request(`${ORIGIN}${url}`, init), { ...env, ...variables }, context);
  const text = await response.text();
  await waitOnExecutionContext(context);
  return new Response(text, response);
}

async function respond(body: Record<string, unknown>, variables: Variables = {}): Promise<ResponseObject> {
  const fields = { model: "chat", max_output_tokens: 12, seed: 1, logit_bias: letters, ...body };
  const response = await send("POST", path, fields, variables);
  const reply = await response.json<ResponseObject>();
  expect({ status: response.status, reply }).toMatchObject({ status: 200 });
  return reply;
}

async function events(
  response: Response,
): Promise<{ type: string; sequence_number: number; [name: string]: unknown }[]> {
  expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  const blocks = (await response.text()).split("\n\n").filter((block) => block !== "");
  return blocks.map((block, i) => {
    const [, type, data] = /^event: (.*)\ndata: (.*)$/.exec(block)!;
    const event = JSON.parse(data!);
    expect([event.type, event.sequence_number]).toEqual([type, i]);
    return event;
  });
}

/** Of what a key keeps. */
async function ledgerOf(key: string) {
  const bytes = new TextEncoder().encode(`mamba-edge session owner\n${key}`);
  return env.PREFIX_LEDGERS.getByName(hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))));
}

const textOf = (reply: ResponseObject): string => reply.output[0]!.content[0]!.text;
const cached = (reply: ResponseObject): number => reply.usage!.input_tokens_details.cached_tokens;

describe("POST /v1/responses", () => {
  test("replies with OpenAI's shape, and with what was stored, computed and drawn", async () => {
    const reply = await respond({ input, max_output_tokens: 8, seed: 5, metadata: { a: "b" }, user: "u" });
    const prompt = 1 + 2 + input.length + 2 + 2;
    expect(reply).toEqual({
      id: expect.stringMatching(/^resp_[0-9a-f]{48}$/),
      object: "response",
      created_at: expect.any(Number),
      completed_at: null,
      status: "incomplete",
      error: null,
      incomplete_details: { reason: "max_output_tokens" },
      instructions: null,
      model: expect.stringMatching(/^chat@[0-9a-f]{12}$/),
      output: [
        {
          id: expect.stringMatching(/^msg_[0-9a-f]{24}$/),
          type: "message",
          status: "incomplete",
          role: "assistant",
          content: [{ type: "output_text", text: expect.stringMatching(/^[a-z]{8}$/), annotations: [], logprobs: [] }],
        },
      ],
      previous_response_id: null,
      store: true,
      temperature: 1,
      top_p: 1,
      max_output_tokens: 8,
      top_logprobs: 0,
      text: { format: { type: "text" } },
      truncation: "disabled",
      metadata: { a: "b" },
      user: "u",
      safety_identifier: null,
      prompt_cache_key: null,
      service_tier: "default",
      background: false,
      parallel_tool_calls: true,
      max_tool_calls: null,
      tools: [],
      tool_choice: "auto",
      reasoning: { effort: null, summary: null },
      usage: {
        input_tokens: prompt,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens: 8,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: prompt + 8,
        computed_tokens: prompt + 7,
      },
      timings: expect.any(Object),
      seed: 5,
    });
  });

  test("the template's end of a turn completes it", async () => {
    const reply = await respond({ input, logit_bias: { 260: 100 } });
    expect(reply).toMatchObject({ status: "completed", incomplete_details: null, output: [{ status: "completed" }] });
    expect(reply.completed_at).toBeGreaterThanOrEqual(reply.created_at);
  });

  test("is a chat completion of the same messages, whatever form they come in", async () => {
    const fields = { instructions: "Be brief.", seed: 3, store: false };
    const wanted = await send("POST", "/v1/chat/completions", {
      model: "chat",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: input },
        { role: "assistant", content: "Yes?" },
        { role: "user", content: "More." },
      ],
      max_tokens: 12,
      seed: 3,
      logit_bias: letters,
      store: false,
    });
    const { choices } = await wanted.json<ChatCompletion>();
    const assistant = { type: "message", id: "msg_1", status: "completed", role: "assistant" };
    const yes = { type: "output_text", text: "Yes?", annotations: [], logprobs: [] };
    for (const items of [
      [
        { role: "user", content: input },
        { role: "assistant", content: "Yes?" },
        { role: "user", content: "More." },
      ],
      [
        { type: "message", role: "user", content: [{ type: "input_text", text: input }] },
        { ...assistant, content: [yes], phase: "final_answer" },
        {
          role: "user",
          content: [
            { type: "input_text", text: "Mo" },
            { type: "input_text", text: "re." },
          ],
          status: null,
        },
      ],
    ]) {
      expect(textOf(await respond({ ...fields, input: items }))).toBe(choices[0]!.message.content);
    }
    const { instructions: content, ...others } = fields;
    const developer = [
      { role: "developer", content },
      { role: "user", content: input },
    ];
    expect(textOf(await respond({ ...others, input: developer }))).toBe(textOf(await respond({ ...fields, input })));
  });

  test("fields without effect are accepted, and so are nulls", async () => {
    const wanted = textOf(await respond({ input, store: false }));
    const ignored = {
      user: "u",
      metadata: {},
      service_tier: "auto",
      safety_identifier: "s",
      prompt_cache_key: "k",
      prompt_cache_retention: "24h",
      parallel_tool_calls: false,
      max_tool_calls: 3,
      truncation: "auto",
      include: ["reasoning.encrypted_content", "file_search_call.results"],
      text: { format: { type: "text" } },
      background: false,
      tools: [],
      tool_choice: "none",
      stream_options: { include_obfuscation: false },
      top_logprobs: 0,
    };
    const nulls = Object.fromEntries(
      [
        ...Object.keys(ignored),
        "instructions",
        "previous_response_id",
        "temperature",
        "conversation",
        "prompt",
        "reasoning",
      ]
        .filter((name) => name !== "store")
        .map((name) => [name, null]),
    );
    for (const body of [ignored, nulls]) expect(textOf(await respond({ input, ...body, store: false }))).toBe(wanted);
  });

  test("a stream has OpenAI's events in their order, and the same text", async () => {
    const fields = { model: "chat", input, max_output_tokens: 24, seed: 6, logit_bias: letters, store: false };
    const whole = await respond(fields);
    const all = await events(await send("POST", path, { ...fields, stream: true }));
    const deltas = all.filter(({ type }) => type === "response.output_text.delta");
    expect(deltas.length).toBeGreaterThan(4);
    expect(all.map(({ type }) => type)).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      ...deltas.map(({ type }) => type),
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.incomplete",
    ]);
    expect(deltas.map(({ delta }) => delta).join("")).toBe(textOf(whole));
    const { response } = all.at(-1) as unknown as { response: ResponseObject };
    expect(response).toEqual({
      ...whole,
      id: response.id,
      output: [{ ...whole.output[0], id: response.output[0]!.id }],
      created_at: response.created_at,
      timings: expect.any(Object),
    });
    expect(all[0]).toMatchObject({ response: { id: response.id, status: "in_progress", output: [], usage: null } });
    const ids = all
      .map((event) => event.item_id ?? (event.item as { id: string } | undefined)?.id)
      .filter((id) => id !== undefined);
    expect(new Set(ids)).toEqual(new Set([response.output[0]!.id]));
    expect(all.at(-4)).toMatchObject({ text: textOf(whole), output_index: 0, content_index: 0 });
    expect(all.at(-3)).toMatchObject({ part: response.output[0]!.content[0] });
    expect(all.at(-2)).toMatchObject({ item: response.output[0] });
  });

  test("log-probabilities where they are asked for, whole and streamed alike", async () => {
    const fields = { input, include: ["message.output_text.logprobs"], top_logprobs: 3, store: false };
    const { logprobs } = (await respond(fields)).output[0]!.content[0]!;
    expect(logprobs!.length).toBe(12);
    for (const { top_logprobs } of logprobs!) expect(top_logprobs.length).toBe(3);
    const body = { model: "chat", max_output_tokens: 12, seed: 1, logit_bias: letters, ...fields, stream: true };
    const all = await events(await send("POST", path, body));
    expect(all.flatMap((event) => (event.type.endsWith("text.delta") ? event.logprobs : []))).toEqual(logprobs);
    expect(all.at(-4)).toMatchObject({ type: "response.output_text.done", logprobs });
  });
});

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
    ["reasoning", { input, reasoning: { effort: "low" } }],
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

describe("previous_response_id", () => {
  test("goes on from the stored state, for 12 turns, and says what it says without", async () => {
    const turns: Record<number, Record<string, unknown>> = {
      // Bytes that are no UTF-8: the text has other tokens than were sampled.
      3: { logit_bias: { 0: -100, 260: -100 }, seed: 5 },
      5: { stop: ["e", "t", "a"] },
      7: { max_output_tokens: 1 },
      9: { frequency_penalty: 2, repetition_penalty: 1.5 },
      10: { temperature: 0 },
    };
    const items: { role: string; content: string }[] = [];
    let previous: ResponseObject | undefined;
    for (let turn = 0; turn < 12; turn++) {
      const asked = `And then, for the ${turn}th time?`;
      items.push({ role: "user", content: asked });
      const fields = { seed: turn, ...turns[turn] };
      const reply = await respond({ ...fields, input: asked, previous_response_id: previous?.id });
      const fresh = await respond({ ...fields, input: items, store: false });
      expect(textOf(reply), `turn ${turn}`).toBe(textOf(fresh));
      expect(cached(fresh)).toBe(0);
      expect(reply.usage!.input_tokens).toBe(fresh.usage!.input_tokens);
      if (previous !== undefined) {
        const said = new TextEncoder().encode(textOf(previous).trim()).length;
        expect(cached(reply), `turn ${turn}`).toBe(previous.usage!.input_tokens + said);
        expect(reply.usage!.input_tokens - cached(reply)).toBe(FRAME + asked.length + FRAME);
      }
      expect(reply.usage!.computed_tokens).toBe(
        reply.usage!.input_tokens - cached(reply) + reply.usage!.output_tokens - 1,
      );
      items.push({ role: "assistant", content: textOf(reply) });
      previous = reply;
    }
  });

  test("two go on from one at the same time: both are served, and neither changes the other", async () => {
    const first = await respond({ input: "A tree with two branches." });
    const fields = { previous_response_id: first.id };
    const bodies = ["Left.", "Right.", "Left."].map((text) => ({ ...fields, input: text }));
    const [left, right, again] = await Promise.all(bodies.map((body) => respond(body)));
    const state = first.usage!.input_tokens + textOf(first).length;
    for (const reply of [left!, right!]) {
      expect(reply.previous_response_id).toBe(first.id);
      expect(cached(reply)).toBe(state);
    }
    expect(textOf(again!)).toBe(textOf(left!));
    expect(new Set([left!.id, right!.id, again!.id]).size).toBe(3);
    const next = await respond({ input: "On.", previous_response_id: left!.id });
    expect(cached(next)).toBe(left!.usage!.input_tokens + textOf(left!).length);
    const whole = await respond({
      store: false,
      input: [
        { role: "user", content: "A tree with two branches." },
        ...first.output,
        { role: "user", content: "Left." },
        ...left!.output,
        { role: "user", content: "On." },
      ],
    });
    expect(textOf(next)).toBe(textOf(whole));
  });

  test("the model is the previous one's, unless another is named", async () => {
    const input = "Another model.";
    const first = await respond({ input, model: "other" });
    const second = await respond({ input, model: undefined, previous_response_id: first.id });
    expect(second.model).toBe(first.model);
    const third = await respond({ input, model: "chat", previous_response_id: second.id });
    expect(third.model).toMatch(/^chat@/);
    expect(cached(third)).toBe(0);
  });

  test("instructions are of one response only: the state is used where they are the same", async () => {
    const input = "Who are you?";
    const first = await respond({ input, instructions: "Be kind." });
    const fields = { input: "More.", previous_response_id: first.id };
    const same = await respond({ ...fields, instructions: "Be kind." });
    expect(cached(same)).toBe(first.usage!.input_tokens + textOf(first).length);
    const other = await respond({ ...fields, instructions: "Be rude." });
    expect([cached(other), other.instructions]).toEqual([0, "Be rude."]);
    const none = await respond(fields);
    expect([cached(none), none.instructions]).toEqual([0, null]);
    const items = [{ role: "user", content: input }, ...first.output, { role: "user", content: "More." }];
    expect(textOf(none)).toBe(textOf(await respond({ input: items, store: false })));
  });

  test("a chat that is sent again in full finds the states of responses, and the other way round", async () => {
    const first = await respond({ input: "Both ways." });
    const messages = [
      { role: "user", content: "Both ways." },
      { role: "assistant", content: textOf(first) },
      { role: "user", content: "And back." },
    ];
    const fields = { model: "chat", max_tokens: 12, seed: 2, logit_bias: letters };
    const chat = await (await send("POST", "/v1/chat/completions", { ...fields, messages })).json<ChatCompletion>();
    expect(chat.usage!.prompt_tokens_details.cached_tokens).toBe(first.usage!.input_tokens + textOf(first).length);
    const input = [
      ...messages,
      { role: "assistant", content: chat.choices[0]!.message.content },
      { role: "user", content: "!" },
    ];
    expect(cached(await respond({ input }))).toBeGreaterThan(chat.usage!.prompt_tokens);
  });
});

describe("store: false", () => {
  test("keeps nothing, and looks for nothing but what it goes on from", async () => {
    const bytes = (): Promise<number> => env.PREFIX_LEDGERS.getByName("local").bytes();
    const before = await bytes();
    const reply = await respond({ input: "Nobody keeps this.", store: false });
    expect([reply.store, await bytes()]).toEqual([false, before]);
    expect(await errorOf(await send("GET", `${path}/${reply.id}`))).toMatchObject({
      status: 404,
      code: "response_not_found",
    });
    const error = await errorOf(await send("POST", path, { input, previous_response_id: reply.id }));
    expect(error).toMatchObject({ status: 404, code: "previous_response_not_found", param: "previous_response_id" });

    const kept = await respond({ input: "This is kept." });
    const then = await bytes();
    const next = await respond({ input: "This is not.", previous_response_id: kept.id, store: false });
    expect(cached(next)).toBe(kept.usage!.input_tokens + textOf(kept).length);
    expect([await bytes(), next.store]).toEqual([then, false]);
    expect((await send("GET", `${path}/${next.id}`)).status).toBe(404);
  });

  test("so does PREFIX_STORE=off, which says so where a response is to be stored", async () => {
    const off = { PREFIX_STORE: "off" };
    const before = await env.PREFIX_LEDGERS.getByName("local").bytes();
    const reply = await respond({ input: "Nothing is kept here." }, off);
    expect(reply.store).toBe(false);
    expect(await env.PREFIX_LEDGERS.getByName("local").bytes()).toBe(before);
    expect((await send("GET", `${path}/${reply.id}`)).status).toBe(404);
    expect(await errorOf(await send("POST", path, { input, store: true }, off))).toMatchObject({
      status: 400,
      param: "store",
    });
  });
});

describe("a stored response", () => {
  test("is read as it was given, and as its events", async () => {
    const reply = await respond({ input: "Read me again.", include: ["message.output_text.logprobs"] });
    expect(await (await send("GET", `${path}/${reply.id}`)).json()).toEqual(reply);
    const all = await events(await send("GET", `${path}/${reply.id}?stream=true`));
    expect(all.length).toBe(9);
    expect(all.at(4)).toMatchObject({ type: "response.output_text.delta", delta: textOf(reply) });
    expect(all.at(-1)).toMatchObject({ type: "response.incomplete", response: reply });
    for (const [query, param] of [
      ["stream=1", "stream"],
      ["stream=true&starting_after=3", "starting_after"],
    ]) {
      expect(await errorOf(await send("GET", `${path}/${reply.id}?${query}`))).toMatchObject({ status: 400, param });
    }
  });

  test("lists the messages it was made from, in pages", async () => {
    const first = await respond({
      input: [
        { role: "system", content: "Count." },
        { role: "user", content: "One." },
      ],
    });
    const second = await respond({ input: "Two.", previous_response_id: first.id, instructions: "Not listed." });
    const list = async (query = ""): Promise<InputItemList> =>
      (await send("GET", `${path}/${second.id}/input_items${query}`)).json();
    const all = await list("?order=asc");
    expect(all).toMatchObject({
      object: "list",
      data: [
        { type: "message", role: "system", status: "completed", content: [{ type: "input_text", text: "Count." }] },
        { role: "user", content: [{ type: "input_text", text: "One." }] },
        first.output[0],
        { role: "user", content: [{ type: "input_text", text: "Two." }] },
      ],
      has_more: false,
    });
    const ids = all.data.map(({ id }) => id);
    expect([all.first_id, all.last_id]).toEqual([ids[0], ids[3]]);
    expect((await list()).data.map(({ id }) => id)).toEqual(ids.toReversed());
    expect(await list("?limit=3")).toMatchObject({ has_more: true, last_id: ids[1] });
    expect((await list(`?limit=3&after=${ids[1]}`)).data.map(({ id }) => id)).toEqual([ids[0]]);
    expect(await list(`?after=${ids[0]}`)).toMatchObject({ data: [], first_id: null, last_id: null, has_more: false });
    for (const [query, param] of [
      ["limit=0", "limit"],
      ["limit=101", "limit"],
      ["limit=x", "limit"],
      ["order=up", "order"],
      ["after=x", "after"],
      [`after=msg_${"0".repeat(24)}`, "after"],
    ]) {
      const error = await errorOf(await send("GET", `${path}/${second.id}/input_items?${query}`));
      expect(error, query).toMatchObject({ status: 400, param });
    }
  });

  test("is deleted with its states; those that went on from it stay whole", async () => {
    const text = "Delete what I said.";
    const first = await respond({ input: text });
    const second = await respond({ input: "More.", previous_response_id: first.id });
    const gone = await send("DELETE", `${path}/${first.id}`);
    expect(await gone.json()).toEqual({ id: first.id, object: "response", deleted: true });
    for (const [method, url] of [
      ["GET", `${path}/${first.id}`],
      ["GET", `${path}/${first.id}/input_items`],
      ["DELETE", `${path}/${first.id}`],
    ] as const) {
      expect(await errorOf(await send(method, url)), url).toMatchObject({ status: 404, code: "response_not_found" });
    }
    expect((await send("POST", path, { input, previous_response_id: first.id })).status).toBe(404);
    const third = await respond({ input: "On.", previous_response_id: second.id });
    expect(cached(third)).toBe(second.usage!.input_tokens + textOf(second).length);
    // Its states are gone: the same request computes everything again.
    expect(cached(await respond({ input: text, seed: 9 }))).toBe(0);
  });

  test("leaves nothing behind when all of its conversation is deleted", async () => {
    const variables = { API_KEYS: "alone", key: "alone" };
    const ledger = await ledgerOf("alone");
    expect(await ledger.bytes()).toBe(0);
    const first = await respond({ input: "Leave nothing behind." }, variables);
    const second = await respond({ input: "Nothing.", previous_response_id: first.id }, variables);
    const third = await respond({ input: "At all.", previous_response_id: first.id }, variables);
    expect(await ledger.bytes()).toBeGreaterThan(10_000);
    const root = first.id.slice("resp_".length, "resp_".length + 24);
    for (const { id } of [first, third, second]) {
      expect((await send("DELETE", `${path}/${id}`, undefined, variables)).status).toBe(200);
    }
    expect(await ledger.bytes()).toBe(0);
    await runInDurableObject(env.RESPONSES.getByName(root), async (_, { storage }) => {
      expect(storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'responses'").toArray()).toEqual([]);
      expect(await storage.getAlarm()).toBeNull();
    });
  });

  test("goes when its conversation is the least recently used and there is no room", async () => {
    const variables = { API_KEYS: "full", key: "full" };
    const first = await respond({ input: "The oldest." }, variables);
    const used = await respond({ input: "Gone on from." }, variables);
    // 2 MB hold some 60 states.
    for (let i = 0; i < 36; i++) {
      await respond({ input: `Number ${i}.`, max_output_tokens: 1 }, variables);
      if (i % 9 === 0) await respond({ input: `${i}`, previous_response_id: used.id, max_output_tokens: 1 }, variables);
    }
    expect((await send("GET", `${path}/${first.id}`, undefined, variables)).status).toBe(404);
    expect((await send("GET", `${path}/${used.id}`, undefined, variables)).status).toBe(200);
    const last = await respond({ input: "On.", previous_response_id: used.id }, variables);
    expect(cached(last)).toBeGreaterThan(0);
    expect(await (await ledgerOf("full")).bytes()).toBeLessThanOrEqual(2e6);
  });

  test("expires with its conversation, and leaves nothing behind", async () => {
    const { id } = await respond({ input: "Soon forgotten." });
    const store = env.RESPONSES.getByName(id.slice("resp_".length, "resp_".length + 24));
    await runInDurableObject(store, async (_, { storage }) => {
      const left = (await storage.getAlarm())! - Date.now();
      expect(Math.abs(left - 30 * 86_400_000)).toBeLessThan(60_000);
    });
    expect(await runDurableObjectAlarm(store)).toBe(true);
    expect((await send("GET", `${path}/${id}`)).status).toBe(404);
    await runInDurableObject(store, (_, { storage }) => {
      expect(storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'responses'").toArray()).toEqual([]);
    });
  });

  test("longer than a row of the database is stored in pieces", async () => {
    const body = new Uint8Array(5_000_000).map((_, i) => i * 31);
    const store = env.RESPONSES.getByName("long");
    const row = { parent: null, states: [] };
    expect(await store.put("me", { ...row, id: "a", body })).toEqual({ bytes: body.length });
    expect(await store.put("me", { ...row, id: "b", parent: "a", body: body.slice(0, 1000) })).toEqual({
      bytes: body.length + 1000,
    });
    expectSameBytes((await store.read("me", "a"))!, body);
    expect((await store.readAll("me", "b"))!.map(({ length }) => length)).toEqual([body.length, 1000]);
    expect(await store.put("me", { ...row, id: "c", parent: "none", body })).toBeUndefined();
    expect(await store.put("you", { ...row, id: "c", parent: "a", body })).toBeUndefined();
  });

  test("of another key, and of none, is not there", async () => {
    const variables = { API_KEYS: "mine,theirs" };
    const mine = { ...variables, key: "mine" };
    const theirs = { ...variables, key: "theirs" };
    const reply = await respond({ input: "This is mine." }, mine);
    for (const [method, url, body] of [
      ["GET", `${path}/${reply.id}`],
      ["GET", `${path}/${reply.id}/input_items`],
      ["DELETE", `${path}/${reply.id}`],
      ["POST", path, { input, model: "chat", previous_response_id: reply.id }],
    ] as const) {
      const error = await errorOf(await send(method, url, body, theirs));
      expect(error.status, `${method} ${url}`).toBe(404);
      expect(error.message).not.toContain("This is");
    }
    expect((await send("GET", `${path}/${reply.id}`)).status).toBe(404);
    expect(cached(await respond({ input: "This is mine." }, theirs))).toBe(0);
    expect((await send("GET", `${path}/${reply.id}`, undefined, mine)).status).toBe(200);
    expect(cached(await respond({ input: "On.", previous_response_id: reply.id }, mine))).toBeGreaterThan(0);
  });

  test.each(["resp_1", `resp_${"0".repeat(48)}`, "x", "%2e%2e", "msg_0"])("%s is unknown", async (id) => {
    for (const url of [`${path}/${id}`, `${path}/${id}/input_items`]) {
      expect(await errorOf(await call("GET", url)), url).toMatchObject({ status: 404 });
    }
    const error = await errorOf(await call("POST", path, { input, previous_response_id: id }));
    expect(error).toMatchObject({ status: 404, param: "previous_response_id" });
  });
});
