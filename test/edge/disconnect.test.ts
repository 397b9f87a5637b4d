import { describe, expect, test } from "vitest";
import { isolate } from "../../worker/edge/isolate.ts";
import {
  append,
  call,
  complete,
  errorOf,
  eventually,
  expectSameBytes,
  newSession,
  session,
  state,
  textOf,
} from "./support/client.ts";
import { intercept, separate } from "./support/separate.ts";

const prompt = "Once upon a time";
/** Minutes of work, unless it is ended. */
const endless = { model: "slow", max_tokens: 100_000, logit_bias: { 0: -100 } };
const idle = (services = isolate): boolean => services.pool.stats().every((s) => s.users === 0);

describe("a client that goes away", () => {
  test("in the middle of a stream ends the computation at once", async () => {
    const response = await call("POST", "/v1/completions", { ...endless, prompt, stream: true });
    const reader = response.body!.getReader();
    for (let i = 0; i < 3; i++) expect((await reader.read()).done).toBe(false);
    expect(idle()).toBe(false);
    await reader.cancel();
    await eventually(idle, "the isolate is idle");
  });

  test("before the reply of a request without a stream ends it too", async () => {
    const { services, send } = separate({});
    const abort = new AbortController();
    const body = JSON.stringify({ ...endless, prompt });
    const reply = send("/v1/completions", { method: "POST", body, signal: abort.signal });
    await eventually(() => !idle(services), "the request has begun");
    await new Promise((wake) => setTimeout(wake, 50));
    abort.abort();
    await eventually(() => idle(services), "the isolate is idle");
    await reply.catch(() => {});
  });

  test("in the middle of an append leaves the session as it was", async () => {
    const { id } = await newSession({ model: "slow" });
    await append(id, { text: prompt, max_tokens: 2 });
    const [meta, before] = [await session(id), await state(id)];
    const { model: _, ...fields } = endless;
    const response = await call("POST", `/v1/sessions/${id}/append`, { ...fields, text: "!", stream: true });
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    await eventually(idle, "the isolate is idle");
    expectSameBytes(await state(id), before);
    expect((await session(id)).snapshot).toBe(meta.snapshot);
    expect((await append(id, { max_tokens: 2 })).session).toBe(id);
  });

  test('in the middle of an append with on_disconnect: "keep" stores what was generated, as max_tokens would', async () => {
    const [cut, whole] = [await newSession({ model: "slow" }), await newSession({ model: "slow" })];
    const { model: _, ...fields } = endless;
    // Halves of characters and of the stop string wait for what comes next.
    const body = { ...fields, text: prompt, seed: 4, stop: "\u0000\u0000" };
    const response = await call("POST", `/v1/sessions/${cut.id}/append`, {
      ...{ ...body, on_disconnect: "keep", stream: true },
      stream_options: { continuous_usage_stats: true },
    });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let sent = 0;
    while (sent < 5) sent = Number(/"completion_tokens":(\d+)/.exec((await reader.read()).value!)?.[1] ?? sent);
    await reader.cancel();
    await eventually(async () => idle() && (await session(cut.id)).snapshot !== null, "the session is stored");
    const kept = (await session(cut.id)).tokens - prompt.length - 1;
    expect(kept).toBeGreaterThanOrEqual(sent);
    expect(kept).toBeLessThan(sent + 20);
    await append(whole.id, { ...body, max_tokens: kept });
    expectSameBytes(await state(cut.id), await state(whole.id));
    const [next, same] = [await append(cut.id, { max_tokens: 8 }), await append(whole.id, { max_tokens: 8 })];
    expect(textOf(next)).toBe(textOf(same));
  });

  test('in the middle of an append with on_disconnect: "keep", where the session has moved on, keeps it as another one', async () => {
    const { id } = await newSession({ model: "slow" });
    const { model: _, ...fields } = endless;
    const body = { ...fields, text: prompt, on_disconnect: "keep", stream: true };
    const response = await call("POST", `/v1/sessions/${id}/append`, body);
    const reader = response.body!.getReader();
    for (let i = 0; i < 3; i++) await reader.read();
    await append(id, { text: "!", max_tokens: 0 });
    await reader.cancel();
    const forks = async (): Promise<unknown[]> => {
      const { data } = await (await call("GET", "/v1/sessions")).json<{ data: { forked_from: string | null }[] }>();
      return data.filter(({ forked_from }) => forked_from === id);
    };
    await eventually(async () => idle() && (await forks()).length > 0, "what was generated is kept");
    expect(await forks()).toEqual([
      expect.objectContaining({ tokens: expect.toSatisfy((n: number) => n > prompt.length + 1) }),
    ]);
    expect((await session(id)).tokens).toBe(2);
  });

  test('before the reply of an append with on_disconnect: "keep" without a stream has it stored too, and is a 499', async () => {
    const { services, send } = separate({});
    const { id } = await newSession({ model: "slow" });
    const abort = new AbortController();
    const { model: _, ...fields } = endless;
    const body = JSON.stringify({ ...fields, text: prompt, on_disconnect: "keep" });
    const reply = send(`/v1/sessions/${id}/append`, { method: "POST", body, signal: abort.signal });
    await eventually(() => services.pool.stats().some((s) => s.loaded), "the model is loaded");
    await new Promise((wake) => setTimeout(wake, 100));
    abort.abort();
    expect((await reply).status).toBe(499);
    expect((await session(id)).tokens).toBeGreaterThan(prompt.length + 1);
    await eventually(() => idle(services), "the isolate is idle");
  });

  test('before the first token of an append with on_disconnect: "keep" leaves the session as it was', async () => {
    const { services, send } = separate({});
    const { id } = await newSession({ model: "slow" });
    const abort = new AbortController();
    const { model: _, ...fields } = endless;
    const body = JSON.stringify({ ...fields, text: "x".repeat(2000), on_disconnect: "keep", stream: true });
    const reply = send(`/v1/sessions/${id}/append`, { method: "POST", body, signal: abort.signal });
    await eventually(() => !idle(services), "the request has begun");
    abort.abort();
    await eventually(() => idle(services), "the isolate is idle", 50);
    await reply.catch(() => {});
    expect((await session(id)).snapshot).toBe(null);
  });

  test("while a long prompt is read ends that", async () => {
    const { services, send } = separate({});
    const abort = new AbortController();
    const body = JSON.stringify({ ...endless, prompt: "x".repeat(2000), max_tokens: 1, stream: true });
    const reply = send("/v1/completions", { method: "POST", body, signal: abort.signal });
    await eventually(() => services.pool.stats().some((s) => s.loaded), "the model is loaded");
    abort.abort();
    await eventually(() => idle(services), "the isolate is idle", 50);
    await reply.catch(() => {});
  });
});

test("a stream that is read slowly waits: the text is whole", async () => {
  const fields = { prompt, max_tokens: 64, seed: 3, logit_bias: { 0: -100 } };
  const response = await call("POST", "/v1/completions", { ...fields, stream: true });
  let text = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    await new Promise((wake) => setTimeout(wake, 2));
  }
  const pieces = text.match(/(?<=^data: )\{.*$/gm)!.map((line) => JSON.parse(line).choices[0].text);
  expect(pieces.join("")).toBe((await complete(fields)).choices[0]!.text);
});

describe("while a model loads", () => {
  /** The second shard of "slow" comes when `open` is called. */
  function gate(): { assets: Fetcher; open(): void; asked(): number } {
    let count = 0;
    let opened = false;
    const assets = intercept(async (file, fetch) => {
      if (file === "shard-001.bin") {
        count++;
        // A timer of each request's own: a promise of another one could not wake it.
        while (!opened) await new Promise((wake) => setTimeout(wake, 5));
      }
      return fetch();
    });
    return {
      assets,
      open: () => {
        opened = true;
      },
      asked: () => count,
    };
  }
  const body = JSON.stringify({ model: "slow", prompt, max_tokens: 4, seed: 1 });

  test("the first of two clients leaves: the second is served", async () => {
    const { assets, open, asked } = gate();
    const { services, send } = separate({ ASSETS: assets });
    const abort = new AbortController();
    const first = send("/v1/completions", { method: "POST", body, signal: abort.signal });
    await eventually(() => asked() === 1, "the first request waits for the shard");
    const second = send("/v1/completions", { method: "POST", body });
    await new Promise((wake) => setTimeout(wake, 50));
    abort.abort();
    await eventually(() => asked() === 2, "the second request takes the load over");
    open();
    const reply = await second;
    expect(reply.status).toBe(200);
    expect(await reply.json()).toMatchObject({
      choices: [{ text: (await complete(JSON.parse(body))).choices[0]!.text }],
    });
    await first.catch(() => {});
    await eventually(() => idle(services), "both are gone");
  });

  test("eight clients share one load", async () => {
    const { assets, open, asked } = gate();
    const { services, send } = separate({ ASSETS: assets });
    const replies = Array.from({ length: 8 }, () => send("/v1/completions", { method: "POST", body }));
    await eventually(() => asked() === 1, "one request asks for the shard");
    await new Promise((wake) => setTimeout(wake, 50));
    open();
    const texts = await Promise.all(
      replies.map(async (reply) => (await (await reply).json<{ choices: { text: string }[] }>()).choices[0]!.text),
    );
    expect(new Set(texts).size).toBe(1);
    expect(asked()).toBe(1);
    expect(idle(services)).toBe(true);
  });

  test("a failure in the middle of a stream's load is an error with its status", async () => {
    const assets = intercept((file, fetch) =>
      file === "shard-001.bin" ? new Response(null, { status: 404 }) : fetch(),
    );
    const { send } = separate({ ASSETS: assets });
    const response = await send("/v1/completions", {
      method: "POST",
      body: JSON.stringify({ ...JSON.parse(body), stream: true }),
    });
    expect(await errorOf(response)).toMatchObject({ status: 503, code: "weights_unavailable" });
  });
});

test("an error in the middle of a stream is its last event", async () => {
  const { id } = await newSession({ model: "slow" });
  const response = await call("POST", `/v1/sessions/${id}/append`, {
    text: prompt,
    max_tokens: 200,
    stream: true,
    logit_bias: { 0: -100 },
  });
  // The session is deleted before its append is done: there is nothing to store into.
  expect((await call("DELETE", `/v1/sessions/${id}`)).status).toBe(204);
  const events = (await response.text()).trim().split("\n\n");
  expect(JSON.parse(events.at(-1)!.slice(6))).toMatchObject({ error: { code: "session_not_found" } });
  expect(events.length).toBeGreaterThan(10);
  await eventually(idle, "the isolate is idle");
});
