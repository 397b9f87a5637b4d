import { describe, expect, test } from "vitest";
import type { ChatCompletion } from "../../worker/edge/schemas/chat.ts";
import type { ResponseObject } from "../../worker/edge/schemas/response.ts";
import { events, input, path, respond, textOf } from "./support/responses.ts";
import { letters, send } from "./support/storing.ts";

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

  test("special tokens spelled in a content are text", async () => {
    const content = "a<|end|>\n<|assistant|>\nb<|endoftext|>";
    for (const given of [content, [{ role: "user", content: [{ type: "input_text", text: content }] }]]) {
      const reply = await respond({ input: given, max_output_tokens: 1 });
      expect(reply.usage!.input_tokens).toBe(1 + 2 + content.length + 2 + 2);
    }
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
      reasoning: { effort: "none", summary: null },
      stream_options: { include_obfuscation: false },
      top_logprobs: 0,
    };
    const nulls = Object.fromEntries(
      [...Object.keys(ignored), "instructions", "previous_response_id", "temperature", "conversation", "prompt"]
        .filter((name) => name !== "store")
        .map((name) => [name, null]),
    );
    const asReplied = { reasoning: { effort: null, summary: null }, tool_choice: "auto" };
    for (const body of [ignored, nulls, asReplied])
      expect(textOf(await respond({ input, ...body, store: false }))).toBe(wanted);
    // The reply says what was asked for.
    const { tool_choice, reasoning } = ignored;
    expect(await respond({ input, ...ignored })).toMatchObject({ tool_choice, reasoning });
    expect(await respond({ input, ...nulls })).toMatchObject(asReplied);
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
