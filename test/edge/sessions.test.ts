import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Completion } from "../../worker/edge/schemas/completion.ts";
import type { Session, SessionList } from "../../worker/edge/schemas/session.ts";
import {
  append,
  call,
  chunksOf,
  complete,
  errorOf,
  expectSameBytes,
  fork,
  newSession,
  session,
  state,
  storeOf,
  textOf,
} from "./support/client.ts";
import { separate } from "./support/separate.ts";

const text = "Once upon a time";
const seconds = Date.now() / 1000;
/** Keeps the end-of-text token out, so that lengths are known. */
const logit_bias = { 0: -100 };

describe("POST /v1/sessions", () => {
  test("makes an empty session of the default model, or of one by name", async () => {
    const made = await newSession();
    expect(made).toEqual({
      id: expect.stringMatching(/^sess_[0-9a-f]{32}$/),
      object: "session",
      model: expect.stringMatching(/^tiny@/),
      tokens: 0,
      snapshot: null,
      snapshots: [],
      forked_from: null,
      created: expect.any(Number),
      expires: made.created + 30 * 86_400,
    });
    expect(Math.abs(made.created - seconds)).toBeLessThan(120);
    expect((await newSession({ model: "other" })).model).toMatch(/^other@/);
    expect(await session(made.id)).toEqual(made);
  });

  test("needs no body", async () => {
    expect((await call("POST", "/v1/sessions")).status).toBe(201);
  });
});

describe("GET /v1/sessions", () => {
  const list = async (query = ""): Promise<SessionList> => (await call("GET", `/v1/sessions${query}`)).json();

  test("lists the key's sessions, the newest first, in pages", async () => {
    // Sessions that are made within a millisecond have no order.
    const made: string[] = [];
    for (let i = 0; i < 5; i++) {
      made.unshift((await newSession()).id);
      await new Promise((wake) => setTimeout(wake, 2));
    }
    await append(made[1]!, { text, max_tokens: 1 });
    const forked = await fork(made[1]!);
    const first = await list("?limit=3");
    expect(first).toMatchObject({ object: "list", first_id: forked.id, last_id: made[1], has_more: true });
    expect(first.data).toEqual([forked, await session(made[0]!), await session(made[1]!)]);
    const second = await list(`?limit=3&after=${first.last_id}`);
    expect(second.data.map(({ id }) => id)).toEqual(made.slice(2));
    const upwards = await list(`?order=asc&limit=2&after=${made[2]}`);
    expect(upwards.data.map(({ id }) => id)).toEqual([made[1], made[0]]);
    expect((await call("DELETE", `/v1/sessions/${made[1]}`)).status).toBe(204);
    // A page goes on after a session that is no longer there.
    expect((await list(`?limit=3&after=${made[1]}`)).data.map(({ id }) => id)).toEqual(made.slice(2));
    expect((await list("?limit=100")).data.map(({ id }) => id)).not.toContain(made[1]);
  });

  test("is empty for a key that has none, and never has another's", async () => {
    const isolate = separate({ API_KEYS: "one,two" });
    const as = (key: string, method: string) =>
      isolate.send("/v1/sessions", { method, headers: { authorization: `Bearer ${key}` } });
    const made = await (await as("one", "POST")).json<Session>();
    expect(await (await as("one", "GET")).json()).toMatchObject({ data: [{ id: made.id }], has_more: false });
    expect(await (await as("two", "GET")).json()).toEqual({
      object: "list",
      data: [],
      first_id: null,
      last_id: null,
      has_more: false,
    });
    expect((await list("?limit=100")).data.map(({ id }) => id)).not.toContain(made.id);
  });

  test("leaves out one that has expired", async () => {
    const { id } = await newSession();
    await runInDurableObject(storeOf(id), (_, { storage }) => {
      storage.sql.exec("UPDATE session SET used = 0");
    });
    expect(await runDurableObjectAlarm(storeOf(id))).toBe(true);
    expect((await list("?limit=100")).data.map((s) => s.id)).not.toContain(id);
    expect((await env.SESSION_INDEXES.getByName("local").page({ limit: 100, order: "asc" })).ids).not.toContain(id);
  });

  test.each([
    ["limit", "0"],
    ["limit", "101"],
    ["limit", "1.5"],
    ["order", "new"],
    ["after", "x"],
  ])("%s=%s is a 400", async (param, value) => {
    expect(await errorOf(await call("GET", `/v1/sessions?${param}=${value}`))).toMatchObject({ status: 400, param });
  });
});

describe("two appends at the same time", () => {
  test.each([false, true])("are both served, and the replies say where each one is (stream: %s)", async (stream) => {
    const parent = await newSession();
    await append(parent.id, { text, max_tokens: 2, seed: 1, logit_bias });
    const before = await state(parent.id);
    const { snapshot } = await session(parent.id);
    const fields = ["Left.", "Right.", "Up."].map((t) => ({ text: t, max_tokens: 24, seed: 7, logit_bias, snapshot }));
    // Each alone, in a fork of its own.
    const alone: Completion[] = [];
    for (const body of fields) alone.push(await append((await fork(parent.id)).id, body));
    const replies = await Promise.all(
      fields.map(async (body) => {
        if (!stream) return append(parent.id, body);
        const chunks = await chunksOf(await call("POST", `/v1/sessions/${parent.id}/append`, { ...body, stream }));
        return { ...chunks.at(-1)!, choices: [{ ...chunks.at(-1)!.choices[0]!, text: textOf(...chunks) }] };
      }),
    );
    expect(replies.map((reply) => textOf(reply))).toEqual(alone.map((reply) => textOf(reply)));
    expect(replies.map(({ snapshot }) => snapshot)).toEqual(alone.map(({ snapshot }) => snapshot));
    expect(new Set(replies.map((reply) => reply.session)).size).toBe(3);
    const winners = replies.filter((reply) => reply.session === parent.id);
    expect(winners.length).toBe(1);
    expect(winners[0]!.forked_from).toBeUndefined();
    for (const [i, reply] of replies.entries()) {
      const made = await session(reply.session!);
      expect(made).toMatchObject({ snapshot: reply.snapshot, model: parent.model });
      if (reply === winners[0]) continue;
      expect(reply.forked_from).toBe(parent.id);
      expect(made.forked_from).toBe(parent.id);
      expectSameBytes(await state(made.id), await state(alone[i]!.session!));
    }
    // Where both began is still there.
    const { snapshots } = await session(parent.id);
    const back = await fork(parent.id, { snapshot: snapshots[1]!.id });
    expectSameBytes(await state(back.id), before);
  });
});

test("appends at the same time that name no snapshot lose nothing", async () => {
  const parent = await newSession();
  const { snapshot: first } = await append(parent.id, { text, max_tokens: 2, seed: 1, logit_bias });
  const body = { max_tokens: 8, seed: 7, logit_bias };
  const replies = await Promise.all(["A.", "B.", "C."].map((t) => append(parent.id, { ...body, text: t })));
  // Each either went on from another one, or stands beside it.
  const latest = await Promise.all(replies.map(async (reply) => session(reply.session!)));
  const all = new Set(latest.flatMap(({ snapshots }) => snapshots.map(({ id }) => id)));
  expect(all).toEqual(new Set([first, ...replies.map((reply) => reply.snapshot)]));
  for (const reply of replies) expect(reply.forked_from).toBe(reply.session === parent.id ? undefined : parent.id);
});

describe("append", () => {
  test("replies with a completion, and says what is stored and what it cost", async () => {
    const { id } = await newSession();
    const first = await append(id, { text, max_tokens: 8, seed: 1, logit_bias });
    expect(first).toMatchObject({ object: "text_completion", session: id, seed: 1 });
    expect(first.usage).toMatchObject({
      prompt_tokens: 17,
      prompt_tokens_details: { cached_tokens: 0 },
      computed_tokens: 24,
    });
    expect(await session(id)).toMatchObject({ tokens: 25, snapshot: first.snapshot });

    const second = await append(id, { text: " more", max_tokens: 4, logit_bias });
    // The token generated last is fed now.
    expect(second.usage).toMatchObject({
      prompt_tokens: 30,
      prompt_tokens_details: { cached_tokens: 24 },
      computed_tokens: 9,
    });
    expect(second.seed).toBe(1);
    expect(await session(id)).toMatchObject({ tokens: 34, snapshot: second.snapshot });
    expect((await session(id)).snapshots.map((s) => s.id)).toEqual([second.snapshot, first.snapshot]);
  });

  test("max_tokens 0 only appends, and text in pieces is the same text", async () => {
    const { id } = await newSession();
    for (const piece of ["Once ", "upon", " a time"]) {
      const reply = await append(id, { text: piece, max_tokens: 0 });
      expect(textOf(reply)).toBe("");
    }
    const reply = await append(id, { max_tokens: 20, seed: 5 });
    expect(textOf(reply)).toBe(
      textOf(await complete({ prompt: text, max_tokens: 20, seed: 5 })).replace(/\ufffd$/, ""),
    );
  });

  test("tokens instead of text", async () => {
    const [a, b] = [await newSession(), await newSession()];
    const tokens = [...new TextEncoder().encode(text)].map((byte) => byte + 1);
    const one = await append(a.id, { text, max_tokens: 8, seed: 3 });
    const two = await append(b.id, { tokens, max_tokens: 8, seed: 3 });
    expect([textOf(two), two.snapshot]).toEqual([textOf(one), one.snapshot]);
  });

  test("a stream gives the same text, and the ids at its end, when the state is stored already", async () => {
    const [a, b] = [await newSession(), await newSession()];
    const fields = { text, max_tokens: 16, seed: 9, logit_bias };
    const whole = await append(a.id, fields);
    const body = { ...fields, stream: true, stream_options: { include_usage: true } };
    const chunks = await chunksOf(await call("POST", `/v1/sessions/${b.id}/append`, body));
    expect(textOf(...chunks)).toBe(textOf(whole));
    const [end, usage] = chunks.slice(-2);
    expect(end).toMatchObject({ session: b.id, snapshot: whole.snapshot, choices: [{ finish_reason: "length" }] });
    expect(usage).toMatchObject({ session: b.id, snapshot: whole.snapshot, choices: [], usage: whole.usage });
    expectSameBytes(await state(b.id), await state(a.id));
  });

  test("stop_token_ids end the text and are no part of it; what they are not is a 400", async () => {
    const { id } = await newSession();
    const one = await append(id, { text, max_tokens: 9, stop_token_ids: [5, 99], logit_bias: { 99: 100 } }); // "b"
    expect(one.choices[0]).toMatchObject({ text: "", finish_reason: "stop" });
    expect(one.usage?.completion_tokens).toBe(1);
    for (const wrong of [[-1], ["99"], 99, Array(17).fill(1)]) {
      const error = await errorOf(await call("POST", `/v1/sessions/${id}/append`, { text, stop_token_ids: wrong }));
      expect(error).toMatchObject({ status: 400, param: expect.stringMatching(/^stop_token_ids/) });
    }
  });

  test("a control token ends the text and is fed before what comes next, as if it had been given", async () => {
    const [a, b] = [await newSession({ model: "chat" }), await newSession({ model: "chat" })];
    const one = await append(a.id, { text, max_tokens: 9, logit_bias: { 258: 100 } }); // <|user|>
    expect(one).toMatchObject({ choices: [{ text: "", finish_reason: "stop" }], usage: { completion_tokens: 1 } });
    const given = await append(b.id, { text, max_tokens: 0 });
    await append(b.id, { tokens: [258], max_tokens: 0, snapshot: given.snapshot });
    const fields = { max_tokens: 12, seed: 3, logit_bias };
    const [next, same] = [await append(a.id, fields), await append(b.id, fields)];
    expect(textOf(next)).toBe(textOf(same));
    expect(next.usage?.prompt_tokens).toBe(same.usage?.prompt_tokens);
  });

  test("text that may be the beginning of a stop string waits for the next request", async () => {
    const { id } = await newSession();
    const bias = { 98: 100 }; // "a"
    const one = await append(id, { text, max_tokens: 3, stop: ["aab"], logit_bias: bias });
    expect(textOf(one)).toBe("a");
    const two = await append(id, { max_tokens: 1, stop: ["aab"], logit_bias: { 99: 100 } }); // "b"
    expect(two.choices[0]).toMatchObject({ text: "", finish_reason: "stop" });
  });
});

describe("fork", () => {
  test("copies the latest state; neither changes the other", async () => {
    const parent = await newSession();
    await append(parent.id, { text, max_tokens: 4, seed: 1 });
    const before = await state(parent.id);
    const child = await fork(parent.id);
    expect(child).toMatchObject({ object: "session", model: parent.model, forked_from: parent.id });
    expect(child.id).not.toBe(parent.id);
    expectSameBytes(await state(child.id), before);
    await append(child.id, { text: "!", max_tokens: 2 });
    expectSameBytes(await state(parent.id), before);
    await append(parent.id, { text: "?", max_tokens: 2 });
    expect(await state(child.id)).not.toEqual(await state(parent.id));
  });

  test("of an older snapshot goes back to it", async () => {
    const parent = await newSession();
    const first = await append(parent.id, { text, max_tokens: 4, seed: 1 });
    const then = await state(parent.id);
    const next = await append(parent.id, { max_tokens: 8 });
    const child = await fork(parent.id, { snapshot: first.snapshot });
    expect(child).toMatchObject({ snapshot: first.snapshot, snapshots: [{ id: first.snapshot }] });
    expectSameBytes(await state(child.id), then);
    // The seed is the state's: the same continuation.
    expect(textOf(await append(child.id, { max_tokens: 8 }))).toBe(textOf(next));
  });

  test("of an empty session is an empty session", async () => {
    const child = await fork((await newSession()).id);
    expect(child).toMatchObject({ tokens: 0, snapshot: null });
  });

  test("of a snapshot that is not there names those that are", async () => {
    const parent = await newSession();
    const { snapshot } = await append(parent.id, { text, max_tokens: 0 });
    const error = await errorOf(await call("POST", `/v1/sessions/${parent.id}/fork`, { snapshot: "snap_0" }));
    expect(error).toMatchObject({ status: 404, code: "snapshot_not_found", param: "snapshot" });
    expect(error.message).toContain(snapshot);
  });
});

describe("state", () => {
  test("GET gives the bytes with their type, length and id", async () => {
    const { id } = await newSession();
    const { snapshot } = await append(id, { text, max_tokens: 2 });
    const response = await call("GET", `/v1/sessions/${id}/state`);
    const bytes = await response.bytes();
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "application/vnd.mamba-edge.state",
      "content-length": String(bytes.length),
      etag: `"${snapshot}"`,
    });
    expect(new TextDecoder().decode(bytes.subarray(0, 8))).toBe("MAMBASNP");
  });

  test("PUT into another session continues there as if nothing had happened", async () => {
    const [a, b] = [await newSession(), await newSession()];
    await append(a.id, { text, max_tokens: 6, seed: 8 });
    const bytes = await state(a.id);
    const put = await call("PUT", `/v1/sessions/${b.id}/state`, bytes);
    expect(put.status).toBe(200);
    expect(await put.json()).toMatchObject({
      id: b.id,
      tokens: (await session(a.id)).tokens,
      snapshot: (await session(a.id)).snapshot,
    });
    expectSameBytes(await state(b.id), bytes);
    const [one, two] = [await append(a.id, { max_tokens: 12 }), await append(b.id, { max_tokens: 12 })];
    expect(textOf(two)).toBe(textOf(one));
    expectSameBytes(await state(b.id), await state(a.id));
  });

  test("PUT from another quantization of the model only when that is allowed", async () => {
    const [a, b] = [await newSession({ model: "tiny" }), await newSession({ model: "tiny-q8" })];
    await append(a.id, { text, max_tokens: 6, seed: 8 });
    const bytes = await state(a.id);
    const error = await errorOf(await call("PUT", `/v1/sessions/${b.id}/state`, bytes));
    expect(error).toMatchObject({ status: 409, code: "snapshot_of_another_quantization" });
    expect((await session(b.id)).snapshot).toBeNull();
    expect((await call("PUT", `/v1/sessions/${b.id}/state?allow_other_quantization=true`, bytes)).status).toBe(200);
    const reply = await append(b.id, { max_tokens: 6, logit_bias });
    expect(reply).toMatchObject({ model: b.model, usage: { completion_tokens: 6 } });
  });
});

describe("DELETE", () => {
  test("deletes; the session is then unknown everywhere", async () => {
    const { id } = await newSession();
    await append(id, { text, max_tokens: 1 });
    const response = await call("DELETE", `/v1/sessions/${id}`);
    expect([response.status, await response.text()]).toEqual([204, ""]);
    for (const [method, path, body] of unknownRequests(id)) {
      expect(await errorOf(await call(method, path, body)), path).toMatchObject({
        status: 404,
        code: "session_not_found",
      });
    }
  });
});

test.each([`sess_${"0".repeat(32)}`, "sess_1", "x", "../../etc"])("session %s is unknown", async (id) => {
  for (const [method, path, body] of unknownRequests(encodeURIComponent(id))) {
    expect(await errorOf(await call(method, path, body)), path).toMatchObject({
      status: 404,
      code: "session_not_found",
    });
  }
});

function unknownRequests(id: string): [string, string, unknown?][] {
  return [
    ["GET", `/v1/sessions/${id}`],
    ["GET", `/v1/sessions/${id}/state`],
    ["PUT", `/v1/sessions/${id}/state`, new Uint8Array(100)],
    ["POST", `/v1/sessions/${id}/append`, { text: "a", max_tokens: 1 }],
    ["POST", `/v1/sessions/${id}/fork`, {}],
    ["DELETE", `/v1/sessions/${id}`],
  ];
}
