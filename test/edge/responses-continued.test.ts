import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { ChatCompletion } from "../../worker/edge/schemas/chat.ts";
import type { ResponseObject } from "../../worker/edge/schemas/response.ts";
import { errorOf } from "./support/client.ts";
import { cached, input, path, respond, textOf } from "./support/responses.ts";
import { FRAME, letters, send } from "./support/storing.ts";

describe("previous_response_id", () => {
  test("goes on from the stored state, for 12 turns, and says what it says without", async () => {
    const turns: Record<number, Record<string, unknown>> = {
      // Bytes that are no UTF-8: the text has other tokens than were sampled.
      3: { logit_bias: { 0: -100, 260: -100 }, seed: 5 },
      5: { stop: ["e", "t", "a"] },
      7: { max_output_tokens: 1 },
      9: { frequency_penalty: 2, repetition_penalty: 1.5 },
      10: { temperature: 0 },
    };
    const items: { role: string; content: string }[] = [];
    let previous: ResponseObject | undefined;
    for (let turn = 0; turn < 12; turn++) {
      const asked = `And then, for the ${turn}th time?`;
      items.push({ role: "user", content: asked });
      const fields = { seed: turn, ...turns[turn] };
      const reply = await respond({ ...fields, input: asked, previous_response_id: previous?.id });
      const fresh = await respond({ ...fields, input: items, store: false });
      expect(textOf(reply), `turn ${turn}`).toBe(textOf(fresh));
      expect(cached(fresh)).toBe(0);
      expect(reply.usage!.input_tokens).toBe(fresh.usage!.input_tokens);
      if (previous !== undefined) {
        const said = new TextEncoder().encode(textOf(previous).trim()).length;
        expect(cached(reply), `turn ${turn}`).toBe(previous.usage!.input_tokens + said);
        expect(reply.usage!.input_tokens - cached(reply)).toBe(FRAME + asked.length + FRAME);
      }
      expect(reply.usage!.computed_tokens).toBe(
        reply.usage!.input_tokens - cached(reply) + reply.usage!.output_tokens - 1,
      );
      items.push({ role: "assistant", content: textOf(reply) });
      previous = reply;
    }
  });

  test("two go on from one at the same time: both are served, and neither changes the other", async () => {
    const first = await respond({ input: "A tree with two branches." });
    const fields = { previous_response_id: first.id };
    const bodies = ["Left.", "Right.", "Left."].map((text) => ({ ...fields, input: text }));
    const [left, right, again] = await Promise.all(bodies.map((body) => respond(body)));
    const state = first.usage!.input_tokens + textOf(first).length;
    for (const reply of [left!, right!]) {
      expect(reply.previous_response_id).toBe(first.id);
      expect(cached(reply)).toBe(state);
    }
    expect(textOf(again!)).toBe(textOf(left!));
    expect(new Set([left!.id, right!.id, again!.id]).size).toBe(3);
    const next = await respond({ input: "On.", previous_response_id: left!.id });
    expect(cached(next)).toBe(left!.usage!.input_tokens + textOf(left!).length);
    const whole = await respond({
      store: false,
      input: [
        { role: "user", content: "A tree with two branches." },
        ...first.output,
        { role: "user", content: "Left." },
        ...left!.output,
        { role: "user", content: "On." },
      ],
    });
    expect(textOf(next)).toBe(textOf(whole));
  });

  test("the model is the previous one's, unless another is named", async () => {
    const input = "Another model.";
    const first = await respond({ input, model: "other" });
    const second = await respond({ input, model: undefined, previous_response_id: first.id });
    expect(second.model).toBe(first.model);
    const third = await respond({ input, model: "chat", previous_response_id: second.id });
    expect(third.model).toMatch(/^chat@/);
    expect(cached(third)).toBe(0);
  });

  test("instructions are of one response only: the state is used where they are the same", async () => {
    const input = "Who are you?";
    const first = await respond({ input, instructions: "Be kind." });
    const fields = { input: "More.", previous_response_id: first.id };
    const same = await respond({ ...fields, instructions: "Be kind." });
    expect(cached(same)).toBe(first.usage!.input_tokens + textOf(first).length);
    const other = await respond({ ...fields, instructions: "Be rude." });
    expect([cached(other), other.instructions]).toEqual([0, "Be rude."]);
    const none = await respond(fields);
    expect([cached(none), none.instructions]).toEqual([0, null]);
    const items = [{ role: "user", content: input }, ...first.output, { role: "user", content: "More." }];
    expect(textOf(none)).toBe(textOf(await respond({ input: items, store: false })));
  });

  test("a chat that is sent again in full finds the states of responses, and the other way round", async () => {
    const first = await respond({ input: "Both ways." });
    const messages = [
      { role: "user", content: "Both ways." },
      { role: "assistant", content: textOf(first) },
      { role: "user", content: "And back." },
    ];
    const fields = { model: "chat", max_tokens: 12, seed: 2, logit_bias: letters };
    const chat = await (await send("POST", "/v1/chat/completions", { ...fields, messages })).json<ChatCompletion>();
    expect(chat.usage!.prompt_tokens_details.cached_tokens).toBe(first.usage!.input_tokens + textOf(first).length);
    const input = [
      ...messages,
      { role: "assistant", content: chat.choices[0]!.message.content },
      { role: "user", content: "!" },
    ];
    expect(cached(await respond({ input }))).toBeGreaterThan(chat.usage!.prompt_tokens);
  });
});

describe("store: false", () => {
  test("keeps nothing, and looks for nothing but what it goes on from", async () => {
    const bytes = (): Promise<number> => env.PREFIX_LEDGERS.getByName("local").bytes();
    const before = await bytes();
    const reply = await respond({ input: "Nobody keeps this.", store: false });
    expect([reply.store, await bytes()]).toEqual([false, before]);
    expect(await errorOf(await send("GET", `${path}/${reply.id}`))).toMatchObject({
      status: 404,
      code: "response_not_found",
    });
    const error = await errorOf(await send("POST", path, { input, previous_response_id: reply.id }));
    expect(error).toMatchObject({ status: 404, code: "previous_response_not_found", param: "previous_response_id" });

    const kept = await respond({ input: "This is kept." });
    const then = await bytes();
    const next = await respond({ input: "This is not.", previous_response_id: kept.id, store: false });
    expect(cached(next)).toBe(kept.usage!.input_tokens + textOf(kept).length);
    expect([await bytes(), next.store]).toEqual([then, false]);
    expect((await send("GET", `${path}/${next.id}`)).status).toBe(404);
  });

  test("so does PREFIX_STORE=off, which says so where a response is to be stored", async () => {
    const off = { PREFIX_STORE: "off" };
    const before = await env.PREFIX_LEDGERS.getByName("local").bytes();
    const reply = await respond({ input: "Nothing is kept here." }, off);
    expect(reply.store).toBe(false);
    expect(await env.PREFIX_LEDGERS.getByName("local").bytes()).toBe(before);
    expect((await send("GET", `${path}/${reply.id}`)).status).toBe(404);
    expect(await errorOf(await send("POST", path, { input, store: true }, off))).toMatchObject({
      status: 400,
      param: "store",
    });
  });
});
