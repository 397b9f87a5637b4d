import { createExecutionContext, runInDurableObject, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { createApp } from "../../worker/edge/app.ts";
import type { Env } from "../../worker/edge/env.ts";
import { isolate } from "../../worker/edge/isolate.ts";
import type { Completion } from "../../worker/edge/schemas/completion.ts";
import type { SessionStore } from "../../worker/edge/sessions/session-store.ts";
import {
  append,
  call,
  expectSameBytes,
  fork,
  logit_bias,
  newSession,
  ORIGIN,
  session,
  state,
  storeOf,
  textOf,
} from "./support/client.ts";

const MARK = 2048;
const long = "once upon a time ".repeat(300);
const fields = { text: long, max_tokens: 12, seed: 4, logit_bias, repetition_penalty: 1.3 };
const app = createApp(isolate);

async function send(id: string, body: object, bindings: Partial<Env> = {}, signal?: AbortSignal): Promise<Response> {
  const context = createExecutionContext();
  const init = { method: "POST", body: JSON.stringify(body), ...(signal && { signal }) };
  const request = new Request(`${ORIGIN}/v1/sessions/${id}/append`, init);
  const response = await app.fetch(request, { ...env, MAX_PROMPT_TOKENS: 8192, ...bindings }, context);
  await waitOnExecutionContext(context);
  return response;
}

async function appendLong(id: string, body: object = fields): Promise<Completion> {
  const response = await send(id, body);
  const reply = await response.json<Completion>();
  expect({ status: response.status, reply }).toMatchObject({ status: 200 });
  return reply;
}

/** Appends, and goes away when so many marks are kept. */
async function breakOff(id: string, marks: number, body: object = fields): Promise<void> {
  const controller = new AbortController();
  let kept = 0;
  const watched = (stub: DurableObjectStub<SessionStore>) =>
    new Proxy(stub, {
      get: (target, name) =>
        name !== "mark"
          ? (...values: unknown[]) =>
              (target as never as Record<PropertyKey, (...v: unknown[]) => unknown>)[name]!(...values)
          : async (...values: Parameters<SessionStore["mark"]>) => {
              await target.mark(...values);
              if (++kept === marks) controller.abort();
            },
    });
  const SESSIONS = { getByName: (name: string) => watched(env.SESSIONS.getByName(name)) } as never;
  const response = await send(id, body, { SESSIONS }, controller.signal);
  expect(response.status).toBe(499);
  expect(kept).toBe(marks);
}

function rows(id: string): Promise<{ marks: number; pieces: number }> {
  return runInDurableObject(storeOf(id), (_, { storage: { sql } }) => {
    const there = sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'mark'").toArray().length > 0;
    const marks = there ? sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM mark").one().n : 0;
    return { marks, pieces: sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM pieces WHERE revision = 0").one().n };
  });
}

describe("a long append that is broken off", () => {
  test.each([
    1, 2,
  ])("goes on from its last mark when it is sent again, and is bitwise what never stopped (%i)", async (marks) => {
    const { id } = await newSession();
    // Something pending, held back and unfinished in front.
    await append(id, { text: "First", max_tokens: 5, seed: 2, logit_bias, stop: ["never"] });
    const twin = await fork(id);
    const whole = await appendLong(twin.id);
    const before = await session(id);
    await breakOff(id, marks);
    expect(await session(id)).toEqual(before);
    expect(await rows(id)).toMatchObject({ marks: 1 });

    const again = await appendLong(id);
    expect(again.usage!.prompt_tokens_details.cached_tokens).toBe(before.tokens - 1 + marks * MARK);
    expect(again.usage!.prompt_tokens).toBe(whole.usage!.prompt_tokens);
    const { computed_tokens, prompt_tokens, completion_tokens } = again.usage!;
    expect(computed_tokens).toBe(prompt_tokens - (before.tokens - 1 + marks * MARK) + completion_tokens - 1);
    expect([textOf(again), again.snapshot, again.seed]).toEqual([textOf(whole), whole.snapshot, whole.seed]);
    expectSameBytes(await state(id), await state(twin.id));
    expect(await rows(id)).toEqual({ marks: 0, pieces: 0 });
  });

  test("into an empty session too", async () => {
    const [one, two] = [await newSession(), await newSession()];
    const whole = await appendLong(two.id);
    await breakOff(one.id, 2);
    const again = await appendLong(one.id);
    expect(again.usage!.prompt_tokens_details.cached_tokens).toBe(2 * MARK);
    expect([textOf(again), again.snapshot]).toEqual([textOf(whole), whole.snapshot]);
  });

  test("is no part of another one: other text, and the session moved on", async () => {
    const { id } = await newSession();
    await append(id, { text: "First", max_tokens: 0 });
    const before = await session(id);
    const cached = async (to: string, body: object): Promise<number> =>
      (await appendLong(to, body)).usage!.prompt_tokens_details.cached_tokens;
    await breakOff(id, 2);
    const twin = await fork(id);
    expect(await cached(twin.id, fields)).toBe(before.tokens - 1);
    expect(await cached(id, { ...fields, text: `x${long}` })).toBe(before.tokens - 1);
    await breakOff(id, 1);
    await append(id, { text: "Second", max_tokens: 0 });
    const { tokens } = await session(id);
    expect(await cached(id, fields)).toBe(tokens - 1);
  });

  test("goes with the session", async () => {
    const { id } = await newSession();
    await breakOff(id, 1);
    expect((await call("DELETE", `/v1/sessions/${id}`)).status).toBe(204);
    await runInDurableObject(storeOf(id), (_, { storage: { sql } }) => {
      expect(sql.exec("SELECT name FROM sqlite_master WHERE name IN ('mark', 'pieces')").toArray()).toEqual([]);
    });
  });

  test("whose mark is damaged is computed whole", async () => {
    const { id } = await newSession();
    const twin = await fork(id);
    const whole = await appendLong(twin.id);
    await breakOff(id, 1);
    await runInDurableObject(storeOf(id), (_, { storage: { sql } }) => {
      sql.exec("UPDATE pieces SET bytes = zeroblob(length(bytes)) WHERE revision = 0");
    });
    const again = await appendLong(id);
    expect(again.usage!.prompt_tokens_details.cached_tokens).toBe(0);
    expect(again.snapshot).toBe(whole.snapshot);
  });
});

test("wrong sampling is refused before anything is fed", async () => {
  const { id } = await newSession();
  const response = await send(id, { ...fields, logit_bias: { 999: 1 } });
  expect(response.status).toBe(400);
  expect(await rows(id)).toEqual({ marks: 0, pieces: 0 });
});
