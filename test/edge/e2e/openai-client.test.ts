import OpenAI, { AuthenticationError, BadRequestError, InternalServerError, NotFoundError } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { DevServer } from "../../../scripts/lib/dev-server.ts";
import { startTestServer } from "./server.ts";

const prompt = "Once upon a time";
const KEY = "a-test-key";
/** Minutes of work, unless it is ended. */
const endless = { model: "slow", prompt, max_tokens: 100_000, logit_bias: { "0": -100 } };
const sleep = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms));

let server: DevServer;
let client: OpenAI;

beforeAll(async () => {
  server = await startTestServer({ API_KEYS: KEY });
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: KEY, maxRetries: 0 });
}, 120_000);
afterAll(() => server?.[Symbol.asyncDispose]());

function post(path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
  return fetch(`${server.url}${path}`, { method: "POST", headers, body: JSON.stringify(body), ...init });
}

describe("the official client, unchanged", () => {
  test("lists and finds models", async () => {
    const models = (await client.models.list()).data;
    expect(models[0]!.id).toMatch(/^tiny@/);
    expect((await client.models.retrieve(models[1]!.id)).id).toBe(models[1]!.id);
    expect((await client.models.retrieve("tiny-q8")).id).toBe(models[1]!.id);
  });

  test("completes, whole and streamed, the same text", async () => {
    const fields = { model: "tiny", prompt, max_tokens: 40, seed: 6, logprobs: 2, stop: ["never"], user: "u", n: 1 };
    const whole = await client.completions.create(fields);
    expect(whole.object).toBe("text_completion");
    expect(whole.usage!.total_tokens).toBe(whole.usage!.prompt_tokens + whole.usage!.completion_tokens);
    const stream = await client.completions.create({
      ...fields,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.map((c) => c.choices[0]?.text ?? "").join("")).toBe(whole.choices[0]!.text);
    expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe(whole.choices[0]!.finish_reason);
    expect(chunks.at(-1)!.usage).toEqual(whole.usage);
  });

  test("chats, whole, streamed and with its helper, and the state is kept", async () => {
    const messages: OpenAI.ChatCompletionMessageParam[] = [
      { role: "system", content: "Be kind." },
      { role: "user", content: prompt },
    ];
    const fields = { model: "chat", max_tokens: 20, seed: 3, logit_bias: { "0": -100, "260": -100 } };
    const whole = await client.chat.completions.create({ ...fields, messages, logprobs: true, top_logprobs: 2 });
    expect(whole.object).toBe("chat.completion");
    expect(whole.choices[0]!.logprobs!.content!.length).toBe(20);
    const stream = await client.chat.completions.create({
      ...fields,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const text = whole.choices[0]!.message.content;
    expect(chunks.map((c) => c.choices[0]?.delta.content ?? "").join("")).toBe(text);
    expect(chunks.at(-1)!.usage!.prompt_tokens_details!.cached_tokens).toBeGreaterThan(0);
    const deltas: string[] = [];
    const helper = client.chat.completions.stream({ ...fields, messages }).on("content", (delta) => deltas.push(delta));
    const final = await helper.finalChatCompletion();
    expect([final.choices[0]!.message.content, deltas.join("")]).toEqual([text, text]);
    // As the client gives it back.
    messages.push(final.choices[0]!.message, { role: "user", content: "And then?" });
    const next = await client.chat.completions.create({ ...fields, messages, n: 2 });
    expect(next.choices.length).toBe(2);
    expect(next.usage!.prompt_tokens_details!.cached_tokens).toBeGreaterThan(whole.usage!.prompt_tokens - 5);
    const noTools = await client.chat.completions.create({ ...fields, messages, tools: [], tool_choice: "none" });
    expect(noTools.choices[0]!.message.content).toBe(next.choices[0]!.message.content);
    const tools = [{ type: "function" as const, function: { name: "f" } }];
    await expect(client.chat.completions.create({ ...fields, messages, tools })).rejects.toMatchObject({
      status: 400,
      param: "tools",
    });
  });

  test("completes lists of prompts with choices, echo and log-probabilities, streamed and not", async () => {
    const fields = { model: "tiny", prompt: [prompt, "It was"], n: 2, echo: true, logprobs: 2, max_tokens: 6, seed: 4 };
    const whole = await client.completions.create(fields);
    expect(whole.choices.map((c) => [c.index, c.text.startsWith(c.index < 2 ? prompt : "It was")])).toEqual(
      [0, 1, 2, 3].map((index) => [index, true]),
    );
    for (const { logprobs, text } of whole.choices) {
      const { tokens, token_logprobs, top_logprobs, text_offset } = logprobs!;
      expect(new Set([tokens!.length, token_logprobs!.length, top_logprobs!.length, text_offset!.length]).size).toBe(1);
      expect(text.slice(text_offset![1]).startsWith(tokens![1]!)).toBe(true);
    }
    const tokens = [...prompt].map((c) => c.charCodeAt(0) + 1);
    const listed = await client.completions.create({ ...fields, prompt: [tokens, tokens] });
    expect(listed.choices[3]!.text).toBe(whole.choices[1]!.text);
    const texts = ["", "", "", ""];
    for await (const chunk of await client.completions.create({ ...fields, stream: true })) {
      for (const { index, text } of chunk.choices) texts[index] += text;
    }
    expect(texts).toEqual(whole.choices.map((c) => c.text));
    const best = await client.completions.create({ model: "tiny", prompt, best_of: 3, max_tokens: 6, seed: 4 });
    expect(best.choices.length).toBe(1);
  });

  test("parses replies of its zod helper's schemas, whole, several, and streamed", async () => {
    const Person = z.object({
      name: z.string(),
      kind: z.enum(["fox", "crow"]),
      tags: z.array(z.string().max(5)).max(3),
      home: z.object({ street: z.string().nullable(), number: z.number().int().min(1).max(99) }),
    });
    const fields = {
      model: "chat",
      messages: [{ role: "user" as const, content: "Who is it?" }],
      max_tokens: 160,
      seed: 5,
      response_format: zodResponseFormat(Person, "person"),
    };
    const whole = await client.chat.completions.parse({ ...fields, n: 3, logprobs: true, top_logprobs: 1 });
    for (const { message, finish_reason } of whole.choices) {
      expect([Person.safeParse(message.parsed).success, finish_reason]).toEqual([true, "stop"]);
    }
    const final = await client.chat.completions.stream(fields).finalChatCompletion();
    expect(final.choices[0]!.message.parsed).toEqual(whole.choices[0]!.message.parsed);
    const any = await client.chat.completions.create({ ...fields, response_format: { type: "json_object" } });
    expect(JSON.parse(any.choices[0]!.message.content!)).toBeTypeOf("object");
    await expect(client.chat.completions.create({ ...fields, max_tokens: 9 })).rejects.toMatchObject({
      status: 400,
      param: "max_tokens",
    });
  });

  test("sees its mistakes as its own classes of error", async () => {
    const create = (body: object) => client.completions.create({ model: "tiny", prompt, ...body } as never);
    await expect(create({ temperature: 9 })).rejects.toThrow(BadRequestError);
    await expect(create({ temperature: 9 })).rejects.toMatchObject({ param: "temperature", status: 400 });
    await expect(create({ model: "gpt-5" })).rejects.toThrow(NotFoundError);
    await expect(create({ model: "shard-flipped", stream: true })).rejects.toThrow(InternalServerError);
    const stranger = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "wrong", maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toThrow(AuthenticationError);
  });
});

describe("clients that go away", () => {
  test("while a model loads: the next one is served", async () => {
    // Nobody has asked for "slow" yet, so that each of these is cut somewhere in its load.
    for (const ms of [1, 4, 8, 15, 30]) {
      const reply = post("/v1/completions", { ...endless, stream: true }, { signal: AbortSignal.timeout(ms) });
      await expect(reply.then((r) => r.text())).rejects.toThrow();
    }
    const reply = await client.completions.create({ model: "slow", prompt, max_tokens: 4 });
    expect(reply.usage!.completion_tokens).toBe(4);
  });

  test("in the middle of more streams than there are places: the next one has a place at once", async () => {
    for (let i = 0; i < 12; i++) {
      const stream = await client.completions.create({ ...endless, stream: true });
      let seen = 0;
      for await (const _ of stream) if (++seen === 3) break;
      expect(seen).toBe(3);
    }
    await served();
  });

  test("in the middle of more chats than there are places: the next one has a place at once", async () => {
    const { prompt: content, ...fields } = endless;
    for (let i = 0; i < 12; i++) {
      const messages = [{ role: "user" as const, content: `${content} ${i}` }];
      const stream = await client.chat.completions.create({ ...fields, messages, stream: true });
      let seen = 0;
      for await (const _ of stream) if (++seen === 3) break;
      expect(seen).toBe(3);
    }
    await served();
  });

  test("before the replies of more requests than there are places: none is lost", async () => {
    // Without a stream the local runtime does not say that a client is gone, the deployed one does: here the work runs to its end.
    for (let i = 0; i < 12; i++) {
      const body = { ...endless, max_tokens: 200 };
      await expect(post("/v1/completions", body, { signal: AbortSignal.timeout(20) })).rejects.toThrow();
    }
    await served();
  });

  test("in the middle of an append: the session is as it was", async () => {
    const { id } = (await (await post("/v1/sessions", { model: "slow" })).json()) as { id: string };
    const appended = await post(`/v1/sessions/${id}/append`, { text: prompt, max_tokens: 2 });
    const { snapshot } = (await appended.json()) as { snapshot: string };
    expect(snapshot).toMatch(/^snap_/);
    const { model: _, prompt: text, ...fields } = endless;
    const response = await post(`/v1/sessions/${id}/append`, { ...fields, text, stream: true });
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    await sleep(200);
    const headers = { authorization: `Bearer ${KEY}` };
    const session = (await (await fetch(`${server.url}/v1/sessions/${id}`, { headers })).json()) as {
      snapshot: string;
    };
    expect(session.snapshot).toBe(snapshot);
    await served();
  });

  /**
   * A request to the model that the others used is answered: places that they left behind would make it wait for 15 s and then refuse
   * it with a 503, which the client would try again once.
   */
  async function served(): Promise<void> {
    const start = performance.now();
    const reply = await client.completions.create({ model: "slow", prompt, max_tokens: 4 });
    expect(reply.usage!.completion_tokens).toBe(4);
    expect(performance.now() - start).toBeLessThan(14_000);
  }
});

describe("static weights", () => {
  test("are public, immutable and readable from anywhere; the index is fresh; what is not there is a 404", async () => {
    const index = (await (await fetch(`${server.url}/weights/index.json`)).json()) as { id: string; bytes: number }[];
    const shard = await fetch(`${server.url}/weights/${index[0]!.id}/shard-000.bin`);
    expect(shard.headers.get("access-control-allow-origin")).toBe("*");
    expect(shard.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    expect((await shard.arrayBuffer()).byteLength).toBe(index[0]!.bytes);
    const fresh = await fetch(`${server.url}/weights/index.json`);
    expect(fresh.headers.get("access-control-allow-origin")).toBe("*");
    expect(fresh.headers.get("cache-control")).toBe("public, max-age=60");
    const missing = await fetch(`${server.url}/weights/none/shard-000.bin`);
    expect([missing.status, missing.headers.get("access-control-allow-origin")]).toEqual([404, "*"]);
  });
});

test("nothing unexpected was logged", () => {
  expect(server.output()).not.toMatch(/internal_error|Uncaught|"level":"error"/);
});
