import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { InputItemList } from "../../worker/edge/schemas/response.ts";
import { call, errorOf, expectSameBytes } from "./support/client.ts";
import { cached, events, input, ledgerOf, path, respond, textOf } from "./support/responses.ts";
import { send } from "./support/storing.ts";

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
