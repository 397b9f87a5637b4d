import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { boundaryHashes } from "../../worker/edge/prefixes/boundary-hashes.ts";
import { namedKeys } from "./support/keys.ts";
import { chat, complete, type Message, user } from "./support/prefixes.ts";
import { FRAME } from "./support/storing.ts";

async function roots(owner = "local"): Promise<string[]> {
  return runInDurableObject(env.PREFIX_LEDGERS.getByName(owner), (_, state) =>
    state.storage.sql.exec<{ root: string }>("SELECT DISTINCT root FROM kept ORDER BY turn").toArray(),
  ).then((rows) => rows.map(({ root }) => root));
}

describe("a conversation that is sent again in full", () => {
  test("costs what is new, for 20 turns, and says what it says without", async () => {
    const turns: Record<number, Record<string, unknown>> = {
      // Bytes that are no UTF-8: the text has other tokens than were sampled.
      3: { logit_bias: { 0: -100, 260: -100 }, seed: 5 },
      // Ends inside of what was sampled.
      7: { stop: ["e", "t", "a"] },
      11: { max_tokens: 1 },
      // Ends at once: nothing is said.
      13: { logit_bias: { 260: 100 } },
      15: { n: 2 },
      17: { frequency_penalty: 2, repetition_penalty: 1.5 },
    };
    const messages: Message[] = [{ role: "system", content: "You tell stories." }];
    let newest = 0;
    for (let turn = 0; turn < 20; turn++) {
      const asked = `And then, for the ${turn}th time?`;
      messages.push(user(asked));
      const fields = turns[turn] ?? {};
      const reply = await chat(messages, { seed: turn, ...fields });
      const fresh = await chat(messages, { seed: turn, ...fields, store: false });
      expect(reply.text, `turn ${turn}`).toBe(fresh.text);
      expect(fresh).toMatchObject({ cached: 0, prompt: reply.prompt });
      if (turn > 0) {
        expect(reply.cached, `turn ${turn}`).toBe(newest);
        const added = FRAME + asked.length + FRAME;
        // An empty reply leaves only its frame behind.
        expect(reply.prompt - reply.cached).toBe(turn === 14 ? FRAME + added : added);
      }
      if (turn !== 15) expect(reply.computed).toBe(reply.prompt - reply.cached + reply.completion - 1);
      const said = reply.text.trim();
      newest = said === "" ? reply.prompt - FRAME : reply.prompt + new TextEncoder().encode(said).length;
      messages.push({ role: "assistant", content: reply.text });
    }
  });

  test("branches: an earlier message changed, and the same prompt again", async () => {
    const first = user("A tree.");
    const { text, prompt } = await chat([first]);
    const replied = [first, { role: "assistant", content: text }];
    await chat([...replied, user("Left.")]);
    const right = await chat([...replied, user("Right.")]);
    expect(right.cached).toBe(prompt + text.length);
    const again = await chat([first]);
    expect(again).toMatchObject({ text, cached: prompt - FRAME, computed: FRAME + 11 });
  });

  test("long prompts keep a state every 2,048 tokens", async () => {
    const long = "once upon a time ".repeat(300);
    const variables = { MAX_PROMPT_TOKENS: 8192 };
    await chat([user(long)], {}, variables);
    const other = [user(`${long.slice(0, 4200)} and no more`)];
    const reply = await chat(other, {}, variables);
    expect(reply.cached).toBe(4096);
    expect((await chat(other, { store: false }, variables)).text).toBe(reply.text);
  });

  test("store: false and PREFIX_STORE=off keep nothing and look for nothing", async () => {
    const messages = [user("Nobody keeps this.")];
    const before = await env.PREFIX_LEDGERS.getByName("local").bytes();
    await chat(messages, { store: false });
    await chat(messages, {}, { PREFIX_STORE: "off" });
    expect(await env.PREFIX_LEDGERS.getByName("local").bytes()).toBe(before);
    expect((await chat(messages)).cached).toBe(0);
    expect((await chat(messages, { store: false })).cached).toBe(0);
    expect((await chat(messages, {}, { PREFIX_STORE: "off" })).cached).toBe(0);
    expect((await chat(messages)).cached).toBeGreaterThan(0);
  });

  test("another key, and another model, never get hits", async () => {
    const messages = [user("This is mine.")];
    const variables = { API_KEYS: "mine,theirs" };
    await chat(messages, {}, { ...variables, key: "mine" });
    expect((await chat(messages, {}, { ...variables, key: "theirs" })).cached).toBe(0);
    expect((await chat(messages)).cached).toBe(0);
    expect((await chat(messages, { model: "other" }, { ...variables, key: "mine" })).cached).toBe(0);
    expect((await chat(messages, {}, { ...variables, key: "mine" })).cached).toBeGreaterThan(0);
  });

  test("visitors of a page, who share its key, never get hits of each other", async () => {
    const visited = user("Nobody else on this page may learn of this. ".repeat(3));
    const origin = "https://page.example.com";
    const API_KEYS = await namedKeys(
      { key: "page-key", name: "page", scopes: ["infer"], publishable: true, origins: [origin] },
      { key: "app-key", name: "app", scopes: ["infer"] },
    );
    const variables = { API_KEYS };
    for (let i = 0; i < 2; i++) {
      expect((await chat([visited], {}, { ...variables, key: "page-key", origin })).cached).toBe(0);
    }
    await chat([visited], {}, { ...variables, key: "app-key" });
    expect((await chat([visited], {}, { ...variables, key: "app-key" })).cached).toBeGreaterThan(0);
  });

  test("a damaged state is not used", async () => {
    const messages = [user("This will be damaged.")];
    const { text } = await chat(messages);
    const root = (await roots()).at(-1)!;
    await runInDurableObject(env.PREFIXES.getByName(root), (_, state) => {
      state.storage.sql.exec("UPDATE pieces SET bytes = zeroblob(length(bytes))");
    });
    expect(await chat(messages)).toMatchObject({ cached: 0, text });
    expect(await chat(messages)).toMatchObject({ text });
  });
});

describe("a text that is sent again with more behind it", () => {
  const opening = "Once upon a time there was a text of more than sixty-four tokens, which grew and grew. ";

  test("costs what is new, for 10 turns, and says what it says without", async () => {
    const turns: Record<number, Record<string, unknown>> = {
      2: { logit_bias: { 0: -100 }, seed: 5 },
      4: { stop: ["e", "t", "a"] },
      6: { repetition_penalty: 1.7, frequency_penalty: 1, logprobs: 2 },
      8: { max_tokens: 0 },
    };
    let prompt = opening;
    let newest = 0;
    for (let turn = 0; turn < 10; turn++) {
      const fields = { seed: turn, ...turns[turn] };
      const reply = await complete(prompt, fields);
      const fresh = await complete(prompt, { ...fields, store: false });
      expect(reply.text, `turn ${turn}`).toBe(fresh.text);
      expect(fresh).toMatchObject({ cached: 0, prompt: reply.prompt, completion: reply.completion });
      expect(reply.cached, `turn ${turn}`).toBe(newest);
      expect(reply.cached + reply.computed).toBe(fresh.computed);
      // A reply of other tokens than were sampled is gone on from at its prompt's end, as is none. The last token is not fed.
      const sampled = turn !== 2 && turn !== 8;
      newest = sampled ? reply.prompt + reply.completion - 1 : reply.prompt - 1;
      prompt += `${reply.text} And in turn ${turn}: `;
    }
  });

  test("token ids, other texts that begin alike, and long ones", async () => {
    const tokens = [...new TextEncoder().encode(opening)].map((byte) => byte + 1);
    await complete(`${opening}One way.`);
    expect((await complete([...tokens, 50])).cached).toBe(opening.length);
    const long = "and so on and on ".repeat(150);
    const variables = { MAX_PROMPT_TOKENS: 8192 };
    await complete(long, {}, variables);
    const other = `${long.slice(0, 2200)}, it ended.`;
    const reply = await complete(other, {}, variables);
    expect(reply.cached).toBe(2048);
    expect((await complete(other, { store: false }, variables)).text).toBe(reply.text);
  });

  test("short prompts and store: false keep nothing", async () => {
    const before = await env.PREFIX_LEDGERS.getByName("local").bytes();
    await complete("A short prompt.");
    await complete(`Not kept: ${opening}`, { store: false });
    expect(await env.PREFIX_LEDGERS.getByName("local").bytes()).toBe(before);
    expect((await complete("A short prompt.")).cached).toBe(0);
  });
});

describe("what is kept", () => {
  test("stays within the owner's budget; the least recently used goes first", async () => {
    const variables = { API_KEYS: "k", key: "k" };
    const first = [user("Number first.")];
    const used = [user("Number used.")];
    await chat(first, {}, variables);
    await chat(used, {}, variables);
    for (let i = 0; i < 45; i++) {
      await chat([user(`Number ${i}.`)], { max_tokens: 2 }, variables);
      if (i % 8 === 0) expect((await chat(used, { max_tokens: 2 }, variables)).cached, String(i)).toBeGreaterThan(0);
    }
    expect((await chat([user("Number 44.")], {}, variables)).cached).toBeGreaterThan(0);
    expect((await chat(first, {}, variables)).cached).toBe(0);
  });

  test("expires by alarm, and leaves nothing behind", async () => {
    await chat([user("Soon forgotten.")]);
    const root = (await roots()).at(-1)!;
    const store = env.PREFIXES.getByName(root);
    const ledger = env.PREFIX_LEDGERS.getByName("local");
    expect(await runDurableObjectAlarm(store)).toBe(true);
    expect((await chat([user("Soon forgotten.")])).cached).toBeGreaterThan(0);
    for (const [stub, table] of [
      [store, "states"],
      [ledger, "kept"],
    ] as const) {
      await runInDurableObject(stub as typeof store, (_, state) => {
        state.storage.sql.exec(`UPDATE ${table} SET used = 0`);
      });
      expect(await runDurableObjectAlarm(stub as typeof store)).toBe(true);
    }
    await runInDurableObject(store, (_, state) => {
      expect(state.storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'states'").toArray()).toEqual([]);
    });
    expect(await ledger.bytes()).toBe(0);
    expect((await chat([user("Soon forgotten.")])).cached).toBe(0);
  });
});

test("boundaries' hashes depend on all tokens before, and not on those after", async () => {
  const tokens = Array.from({ length: 5000 }, (_, i) => i % 257);
  const places = await boundaryHashes(tokens, [10, 3000]);
  expect(places.map((b) => b.tokens)).toEqual([10, 2048, 3000]);
  const longer = await boundaryHashes(tokens, [10, 3000, 4999]);
  expect(longer.slice(0, 3)).toEqual(places);
  expect(longer.map((b) => b.tokens)).toEqual([10, 2048, 3000, 4096, 4999]);
  const other = await boundaryHashes(
    tokens.map((t, i) => (i === 2 ? 1 : t)),
    [10, 3000],
  );
  for (const [i, { hash }] of other.entries()) expect(hash).not.toBe(places[i]!.hash);
});
