import { evictDurableObject } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import {
  append,
  call,
  chunksOf,
  complete,
  expectSameBytes,
  fork,
  newSession,
  session,
  state,
  storeOf,
  textOf,
} from "./support/client.ts";

const text = "Once upon a time there was a small computer";
const logit_bias = { 0: -100 };

describe("a state that was stored is the state", () => {
  test("stored, the object evicted, read again and continued: bit by bit what never stopped gives", async () => {
    for (const model of ["tiny", "tiny-q8", "slow"]) {
      const [stopped, never] = [await newSession({ model }), await newSession({ model })];
      const one = await append(stopped.id, { text, max_tokens: 10, seed: 77, logit_bias });
      const bytes = await state(stopped.id);
      await evictDurableObject(storeOf(stopped.id));
      expectSameBytes(await state(stopped.id), bytes);
      await evictDurableObject(storeOf(stopped.id));
      const two = await append(stopped.id, { max_tokens: 15, logit_bias });

      const whole = await append(never.id, { text, max_tokens: 25, seed: 77, logit_bias });
      expect(textOf(one, two), model).toBe(textOf(whole));
      expectSameBytes(await state(stopped.id), await state(never.id));
      expect(two.snapshot).toBe(whole.snapshot);
    }
  });

  test("a completion is what a session gives", async () => {
    const { id } = await newSession();
    const pieces = [await append(id, { text, max_tokens: 7, seed: 5, logit_bias })];
    for (let i = 0; i < 3; i++) pieces.push(await append(id, { max_tokens: 7, logit_bias }));
    const whole = await complete({ prompt: text, max_tokens: 28, seed: 5, logit_bias });
    // A session keeps an unfinished character for later; a completion ends with U+FFFD.
    expect(textOf(whole).replace(/\ufffd$/, "")).toBe(textOf(...pieces).replace(/\ufffd$/, ""));
    expect(pieces.map((p) => p.usage!.computed_tokens).reduce((a, b) => a + b)).toBe(whole.usage!.computed_tokens);
  });

  test("the cost of going on does not grow with what came before", async () => {
    const { id } = await newSession();
    for (const [i, length] of [100, 1000, 2000].entries()) {
      await append(id, { text: "x".repeat(length), max_tokens: 0 });
      const { usage } = await append(id, { text: "y", max_tokens: 3, logit_bias });
      expect(usage!.computed_tokens).toBe(i === 0 ? 4 : 4);
    }
    expect((await session(id)).tokens).toBe(1 + 3100 + 3 * 4);
  });
});

describe("at the same time", () => {
  test("eight sequences give what each gives alone", async () => {
    const bodies = Array.from({ length: 8 }, (_, i) => ({
      prompt: text.slice(0, 5 + 4 * i),
      max_tokens: 40,
      seed: i,
      model: i % 2 === 0 ? "tiny" : "tiny-q8",
    }));
    const alone: string[] = [];
    for (const body of bodies) alone.push(textOf(await complete(body)));
    expect(new Set(alone).size).toBe(8);
    expect((await Promise.all(bodies.map(complete))).map((c) => textOf(c))).toEqual(alone);
  });

  test("more requests than a model has sequences are all served", async () => {
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, seed) => complete({ prompt: text, max_tokens: 4, seed })),
    );
    expect(replies.map((r) => r.seed)).toEqual(Array.from({ length: 20 }, (_, seed) => seed));
  });

  test("two appends to one session are both stored: the later one in a session of its own", async () => {
    const { id } = await newSession();
    await append(id, { text, max_tokens: 0 });
    const bodies = [
      { text: " that sang", max_tokens: 40, seed: 1, logit_bias },
      { text: " that slept", max_tokens: 40, seed: 2, logit_bias },
    ];
    const alone: Uint8Array[] = [];
    for (const body of bodies) {
      const child = await fork(id);
      await append(child.id, body);
      alone.push(await state(child.id));
    }
    // The first has begun, from the state that both saw, when the second is stored.
    const first = await call("POST", `/v1/sessions/${id}/append`, { ...bodies[0], stream: true });
    const second = await append(id, bodies[1]!);
    const replies = [(await chunksOf(first)).at(-1)!, second];
    expect(replies.map((r) => r.forked_from)).toEqual([id, undefined]);
    expect(replies[0]!.session).not.toBe(id);
    expect(second.session).toBe(id);
    for (const [i, reply] of replies.entries()) expectSameBytes(await state(reply.session!), alone[i]!);
    expect(await session(replies[0]!.session!)).toMatchObject({ forked_from: id, snapshot: replies[0]!.snapshot });
  });

  test("of two streamed first appends to an empty session none is lost", async () => {
    const { id } = await newSession();
    const start = (seed: number): Promise<Response> =>
      call("POST", `/v1/sessions/${id}/append`, { text, max_tokens: 8, seed, logit_bias, stream: true });
    const [one, two] = [await start(1), await start(2)];
    const ends = [(await chunksOf(two)).at(-1)!, (await chunksOf(one)).at(-1)!];
    expect(new Set(ends.map((end) => end.session)).size).toBe(2);
    for (const end of ends) expect((await session(end.session!)).snapshot).toBe(end.snapshot);
  });
});
