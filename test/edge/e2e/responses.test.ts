import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI, { APIUserAbortError, BadRequestError, NotFoundError } from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DevServer } from "../../../scripts/lib/dev-server.ts";
import { runtimeProcesses } from "./runtime-processes.ts";
import { startTestServer } from "./server.ts";

const keys = { mine: "a-test-key", theirs: "another-test-key" };
const input = "Once upon a time";
/** Leaves only a to z: a text whose tokens are those that were sampled, so that its state is kept before the reply ends. */
const logit_bias = Object.fromEntries(Array.from({ length: 26 }, (_, i) => [98 + i, 100]));
/** The sampling fields besides temperature and top_p are not the client's. */
const fields = { model: "chat", max_output_tokens: 20, seed: 3, logit_bias };

let state: string;
let server: DevServer;
let client: OpenAI;

const clientOf = (apiKey: string): OpenAI => new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 });
const cached = (response: OpenAI.Responses.Response): number => response.usage!.input_tokens_details.cached_tokens;
/** Tokens up to the end of a reply whose bytes are tokens. */
const stored = (response: OpenAI.Responses.Response): number =>
  response.usage!.input_tokens + new TextEncoder().encode(response.output_text.trim()).length;

async function start(): Promise<void> {
  server = await startTestServer({ API_KEYS: Object.values(keys).join(",") }, { state });
  client = clientOf(keys.mine);
}

beforeAll(async () => {
  state = await mkdtemp(join(tmpdir(), "mamba-edge-state-"));
  await start();
}, 120_000);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await rm(state, { recursive: true, force: true, maxRetries: 5 });
});

describe("the official client, unchanged", () => {
  test("creates, whole and streamed, the same text", async () => {
    const whole = await client.responses.create({ ...fields, input, instructions: "Be kind.", metadata: { a: "b" } });
    expect(whole).toMatchObject({ object: "response", status: "incomplete", metadata: { a: "b" } });
    expect(whole.output_text.length).toBeGreaterThan(4);
    expect(whole.usage).toMatchObject({ output_tokens: 20, total_tokens: whole.usage!.input_tokens + 20 });
    const events = [];
    const stream = await client.responses.create({ ...fields, input, instructions: "Be kind.", stream: true });
    for await (const event of stream) events.push(event);
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, i) => i));
    const text = events.map((event) => (event.type === "response.output_text.delta" ? event.delta : "")).join("");
    expect(text).toBe(whole.output_text);
    const last = events.at(-1)!;
    if (last.type !== "response.incomplete") throw new Error(`the last event is ${last.type}`);
    // The same conversation was kept before.
    expect(cached(last.response)).toBeGreaterThan(0);
  });

  test("streams with its helper", async () => {
    const whole = await client.responses.create({ ...fields, input, store: false });
    const deltas: string[] = [];
    const helper = client.responses
      .stream({ ...fields, input })
      .on("response.output_text.delta", ({ delta }) => deltas.push(delta));
    const final = await helper.finalResponse();
    expect([final.output_text, deltas.join("")]).toEqual([whole.output_text, whole.output_text]);
    expect((await client.responses.retrieve(final.id)).output_text).toBe(whole.output_text);
  });

  test("goes on from a response, and twice from one", async () => {
    const first = await client.responses.create({ ...fields, input: "A tree." });
    const next = { ...fields, previous_response_id: first.id };
    const [left, right] = await Promise.all([
      client.responses.create({ ...next, input: "Left." }),
      client.responses.create({
        ...next,
        input: [{ role: "user", content: [{ type: "input_text", text: "Right." }] }],
      }),
    ]);
    for (const branch of [left, right]) {
      expect(branch.previous_response_id).toBe(first.id);
      expect(cached(branch)).toBe(stored(first));
    }
    const leaf = await client.responses.create({ ...fields, input: "On.", previous_response_id: right.id });
    expect(cached(leaf)).toBe(stored(right));
    // The whole conversation, computed anew: the same text.
    const whole = await client.responses.create({
      ...fields,
      store: false,
      input: [
        { role: "user", content: "A tree." },
        ...first.output,
        { role: "user", content: "Right." },
        ...right.output,
        { role: "user", content: "On." },
      ] as OpenAI.Responses.ResponseInput,
    });
    expect([leaf.output_text, cached(whole)]).toEqual([whole.output_text, 0]);
  });

  test("retrieves, lists the input items of, and deletes a response", async () => {
    const first = await client.responses.create({ ...fields, input: "One." });
    const second = await client.responses.create({ ...fields, input: "Two.", previous_response_id: first.id });
    expect(await client.responses.retrieve(second.id)).toEqual(second);
    const events = [];
    for await (const event of await client.responses.retrieve(second.id, { stream: true })) events.push(event.type);
    expect(events.at(-1)).toBe("response.incomplete");
    const texts = [];
    // In pages of one, which the client fetches by itself.
    for await (const item of client.responses.inputItems.list(second.id, { limit: 1, order: "asc" })) {
      if (item.type !== "message") throw new Error(`an item of type ${item.type}`);
      texts.push(item.content.map((part) => ("text" in part ? part.text : "")).join(""));
    }
    expect(texts).toEqual(["One.", first.output_text, "Two."]);
    await client.responses.delete(second.id);
    await expect(client.responses.retrieve(second.id)).rejects.toThrow(NotFoundError);
    expect((await client.responses.retrieve(first.id)).id).toBe(first.id);
  });

  test("sees its mistakes as its own classes of error, and nothing of another key's", async () => {
    const create = (body: object) => client.responses.create({ ...fields, input, ...body } as never);
    await expect(create({ temperature: 9 })).rejects.toThrow(BadRequestError);
    await expect(create({ tools: [{ type: "web_search" }] })).rejects.toMatchObject({ param: "tools", status: 400 });
    await expect(create({ stream: true, background: true })).rejects.toMatchObject({ param: "background" });
    await expect(create({ previous_response_id: "resp_1" })).rejects.toMatchObject({
      param: "previous_response_id",
      status: 404,
    });
    const { id } = await client.responses.create({ ...fields, input: "Mine." });
    const stranger = clientOf(keys.theirs);
    await expect(stranger.responses.retrieve(id)).rejects.toThrow(NotFoundError);
    await expect(stranger.responses.delete(id)).rejects.toThrow(NotFoundError);
    await expect(stranger.responses.inputItems.list(id)).rejects.toThrow(NotFoundError);
    const forked = stranger.responses.create({ ...fields, input, previous_response_id: id });
    await expect(forked).rejects.toThrow(NotFoundError);
    expect(cached(await stranger.responses.create({ ...fields, input: "Mine." }))).toBe(0);
  });

  test("aborts a stream: nothing is stored, and the next request is served", async () => {
    const endless = { model: "slow", input, max_output_tokens: 100_000, logit_bias: { "0": -100 } };
    const ids: string[] = [];
    for (let i = 0; i < 10; i++) {
      const controller = new AbortController();
      const stream = await client.responses.create({ ...endless, stream: true }, { signal: controller.signal });
      let seen = 0;
      try {
        for await (const event of stream) {
          if (event.type === "response.created") ids.push(event.response.id);
          if (++seen === 8) controller.abort();
        }
      } catch (error) {
        expect(error).toBeInstanceOf(APIUserAbortError);
      }
      expect(seen).toBeGreaterThanOrEqual(8);
    }
    expect(ids.length).toBe(10);
    const next = await client.responses.create({ ...endless, max_output_tokens: 2 });
    expect(next.usage!.output_tokens).toBe(2);
    for (const id of ids) await expect(client.responses.retrieve(id)).rejects.toThrow(NotFoundError);
  });
});

test("the runtime is killed between turns: sessions, chats and responses lose nothing", {
  timeout: 180_000,
}, async () => {
  const headers = { authorization: `Bearer ${keys.mine}` };
  const call = async (method: string, path: string, body?: unknown): Promise<Record<string, unknown>> => {
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
    return (await (await fetch(`${server.url}${path}`, init)).json()) as Record<string, unknown>;
  };
  const sampling = { max_tokens: 12, seed: 5, logit_bias };
  const append = (session: unknown, text: string) =>
    call("POST", `/v1/sessions/${session}/append`, { ...sampling, text });

  const session = await call("POST", "/v1/sessions", { model: "chat" });
  await append(session.id, "Once");
  const twin = await call("POST", `/v1/sessions/${session.id}/fork`, {});
  const unbroken = await append(twin.id, " more");
  const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: "Will you remember?" }];
  const chat = await client.chat.completions.create({ model: "chat", ...sampling, messages });
  const response = await client.responses.create({ ...fields, input: "Will you remember me?" });
  const asked = { ...fields, input: "Again.", previous_response_id: response.id };
  const before = await client.responses.create(asked);

  nothingUnexpected();
  const runtimes = await runtimeProcesses(server.process.pid!);
  expect(runtimes.length).toBeGreaterThan(0);
  for (const { pid } of runtimes) process.kill(pid, "SIGKILL");
  await server[Symbol.asyncDispose]();
  await start();

  const appended = await append(session.id, " more");
  expect(appended).toMatchObject({ choices: unbroken.choices, snapshot: unbroken.snapshot, usage: unbroken.usage });
  const listed = (await call("GET", "/v1/sessions")) as { data: { id: string }[] };
  expect(listed.data.map(({ id }) => id)).toEqual(expect.arrayContaining([session.id, twin.id]));
  const reply = chat.choices[0]!.message;
  messages.push(reply, { role: "user", content: "And now?" });
  const next = await client.chat.completions.create({ model: "chat", ...sampling, messages });
  const said = new TextEncoder().encode(reply.content!.trim()).length;
  expect(next.usage!.prompt_tokens_details!.cached_tokens).toBe(chat.usage!.prompt_tokens + said);
  expect(await client.responses.retrieve(response.id)).toEqual(response);
  const after = await client.responses.create(asked);
  expect(after.output_text).toBe(before.output_text);
  expect(cached(after)).toBeGreaterThanOrEqual(stored(response));
});

test("nothing unexpected was logged", nothingUnexpected);

function nothingUnexpected(): void {
  expect(server.output()).not.toMatch(/internal_error|Uncaught|"level":"error"/);
}
