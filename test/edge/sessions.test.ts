import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Session, SessionList } from "../../worker/edge/schemas/session.ts";
import { append, call, errorOf, fork, newSession, session, storeOf, text } from "./support/client.ts";
import { separate } from "./support/separate.ts";

const seconds = Date.now() / 1000;

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
        param: "session",
      });
    }
  });
});

test.each([`sess_${"0".repeat(32)}`, "sess_1", "x", "../../etc"])("session %s is unknown", async (id) => {
  for (const [method, path, body] of unknownRequests(encodeURIComponent(id))) {
    expect(await errorOf(await call(method, path, body)), path).toMatchObject({
      status: 404,
      code: "session_not_found",
      param: "session",
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
