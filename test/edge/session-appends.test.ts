import { describe, expect, test } from "vitest";
import type { Completion } from "../../worker/edge/schemas/completion.ts";
import {
  append,
  call,
  chunksOf,
  complete,
  errorOf,
  expectSameBytes,
  fork,
  logit_bias,
  newSession,
  session,
  state,
  text,
  textOf,
} from "./support/client.ts";

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

  test("a stream says in every chunk what it has come to, where that is asked for", async () => {
    const { id } = await newSession();
    await append(id, { text, max_tokens: 4, seed: 9, logit_bias });
    const before = (await session(id)).tokens;
    const body = { text: " more", max_tokens: 6, logit_bias, stream: true };
    const options = { stream_options: { continuous_usage_stats: true } };
    const chunks = await chunksOf(await call("POST", `/v1/sessions/${id}/append`, { ...body, ...options }));
    const prompt = before + 5;
    expect(chunks.slice(0, -1).map(({ usage, seed }) => ({ usage, seed }))).toEqual(
      chunks.slice(0, -1).map((_, i) => ({
        seed: 9,
        usage: {
          prompt_tokens: prompt,
          completion_tokens: i + 1,
          total_tokens: prompt + i + 1,
          prompt_tokens_details: { cached_tokens: before - 1 },
          computed_tokens: 6 + i,
        },
      })),
    );
    expect(chunks.at(-1)!.usage).toMatchObject({ prompt_tokens: prompt, completion_tokens: 6, computed_tokens: 11 });
    expect((await session(id)).tokens).toBe(prompt + 6);
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
