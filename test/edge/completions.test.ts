import { describe, expect, test } from "vitest";
import { call, chunksOf, complete, logit_bias, textOf } from "./support/client.ts";

const prompt = "Once upon a time";
/** Readable, and the same in every editor. */
const ascii = (text: string): string => text.replace(/[^ -~]/g, (c) => `<${c.charCodeAt(0).toString(16)}>`);
const ID = /^tiny@[0-9a-f]{12}$/;

describe("POST /v1/completions", () => {
  test("replies with OpenAI's shape, and with what was stored, computed and drawn", async () => {
    const reply = await complete({ prompt, max_tokens: 8, seed: 5 });
    expect(reply).toEqual({
      id: expect.stringMatching(/^cmpl-[0-9a-f]{24}$/),
      object: "text_completion",
      created: expect.any(Number),
      model: expect.stringMatching(ID),
      choices: [{ index: 0, text: expect.any(String), logprobs: null, finish_reason: "length" }],
      usage: {
        // <|endoftext|> goes first; the last token generated is not fed.
        prompt_tokens: prompt.length + 1,
        completion_tokens: 8,
        total_tokens: prompt.length + 9,
        prompt_tokens_details: { cached_tokens: 0 },
        computed_tokens: prompt.length + 8,
      },
      timings: {
        wall_seconds_across_io: {
          model: expect.any(Number),
          first_token: expect.any(Number),
          total: expect.any(Number),
        },
      },
      seed: 5,
    });
    expect(Math.abs(reply.created - Date.now() / 1000)).toBeLessThan(60);
  });

  test("a seed gives the text that it always gave", async () => {
    const reply = await complete({ prompt, max_tokens: 24, seed: 7, temperature: 0.9, top_p: 0.95 });
    expect(ascii(reply.choices[0]!.text)).toBe(
      "<fffd>KN<fffd>tS<fffd><2><fffd><0>><c><b>z<fffd>.g*5<d><fffd><fffd>X<fffd>",
    );
  });

  test("without a seed one is drawn, reported, and gives the same text again", async () => {
    const first = await complete({ prompt, max_tokens: 24 });
    const again = await complete({ prompt, max_tokens: 24, seed: first.seed });
    const other = await complete({ prompt, max_tokens: 24 });
    expect(textOf(again)).toBe(textOf(first));
    expect(other.seed).not.toBe(first.seed);
    expect(textOf(other)).not.toBe(textOf(first));
  });

  test("max_tokens is 128 where nothing is said, and 0 generates nothing", async () => {
    const most = await complete({ prompt, seed: 1, logit_bias: { 0: -100 } });
    expect(most.usage!.completion_tokens).toBe(128);
    const none = await complete({ prompt, max_tokens: 0 });
    expect(none).toMatchObject({ choices: [{ text: "", finish_reason: "length" }], usage: { completion_tokens: 0 } });
  });

  test("token ids, a list of one text, null fields and fields without effect give the same text", async () => {
    const fields = { max_tokens: 12, seed: 3 };
    const text = textOf(await complete({ prompt, ...fields }));
    const tokens = [...new TextEncoder().encode(prompt)].map((byte) => byte + 1);
    const ignored = {
      user: "u",
      metadata: { a: "b" },
      service_tier: "auto",
      store: true,
      n: 1,
      best_of: 1,
      echo: false,
    };
    const nulls = { temperature: null, top_p: null, stop: null, stream: null, logit_bias: null, suffix: null };
    for (const body of [{ prompt: tokens }, { prompt: [prompt] }, { prompt, ...ignored }, { prompt, ...nulls }]) {
      expect(textOf(await complete({ ...fields, ...body }))).toBe(text);
    }
  });

  test("every sampling field has its effect", async () => {
    const base = { prompt, max_tokens: 32, seed: 11, temperature: 1.5 };
    const text = textOf(await complete(base));
    for (const field of [
      { temperature: 0 },
      { top_p: 0.1 },
      { top_k: 1 },
      { min_p: 0.9 },
      { repetition_penalty: 2 },
      { frequency_penalty: 2 },
      { presence_penalty: 2 },
      { logit_bias: { 98: 100 } },
      { seed: 12 },
    ]) {
      expect(textOf(await complete({ ...base, ...field })), JSON.stringify(field)).not.toBe(text);
    }
    expect(textOf(await complete({ ...base, logit_bias: { 98: 100 } }))).toMatch(/^a+/);
  });

  test("a model is found by name and by id, and the first one is the default", async () => {
    const [byName, byDefault] = [
      await complete({ prompt, model: "tiny", max_tokens: 1 }),
      await complete({ prompt, max_tokens: 1 }),
    ];
    expect(byName.model).toBe(byDefault.model);
    expect((await complete({ prompt, model: byName.model, max_tokens: 1 })).model).toBe(byName.model);
    expect((await complete({ prompt, model: "other", max_tokens: 1 })).model).toMatch(/^other@/);
  });

  test("a stop string ends the text before it", async () => {
    const fields = { prompt, max_tokens: 32, seed: 2, temperature: 0.8 };
    const whole = textOf(await complete(fields));
    const stop = whole.slice(6, 9);
    for (const stops of [stop, [stop], ["never to be seen", stop]]) {
      const reply = await complete({ ...fields, stop: stops });
      expect(reply.choices[0]).toMatchObject({ text: whole.slice(0, whole.indexOf(stop)), finish_reason: "stop" });
    }
  });

  test("the end-of-text token ends the text and is not part of it", async () => {
    const reply = await complete({ prompt, max_tokens: 8, logit_bias: { 0: 100 } });
    expect(reply).toMatchObject({ choices: [{ text: "", finish_reason: "stop" }], usage: { completion_tokens: 1 } });
  });

  test("a control token of the template does the same, streamed too; its log-probability is the last", async () => {
    const fields = { model: "chat", prompt, max_tokens: 8, logit_bias: { 258: 100 }, logprobs: 0 };
    const reply = await complete(fields);
    expect(reply).toMatchObject({
      choices: [{ text: "", finish_reason: "stop", logprobs: { tokens: ["<|user|>"], text_offset: [0] } }],
      usage: { completion_tokens: 1 },
    });
    const chunks = await chunksOf(await call("POST", "/v1/completions", { ...fields, stream: true }));
    expect([textOf(...chunks), chunks.at(-1)!.choices[0]!.finish_reason]).toEqual(["", "stop"]);
    const echoed = await complete({ ...fields, echo: true });
    expect(echoed.choices[0]).toMatchObject({ text: prompt, finish_reason: "stop" });
  });

  test("logprobs are in OpenAI's shape: the best, the drawn token's own, offsets into the text", async () => {
    const reply = await complete({ prompt, max_tokens: 12, seed: 2, logprobs: 3 });
    const { text, logprobs } = reply.choices[0]!;
    expect(logprobs!.tokens).toHaveLength(12);
    for (const [i, top] of logprobs!.top_logprobs.entries()) {
      const values = Object.values(top!);
      const token = logprobs!.tokens[i]!;
      // The token that was drawn is among them, be it as a fourth.
      expect(top![token]).toBe(logprobs!.token_logprobs[i]);
      const others = values.filter((p) => p > top![token]!);
      expect(values).toHaveLength(others.length < 3 ? 3 : 4);
      // In no order: an object's keys that look like numbers come first.
      expect(logprobs!.token_logprobs[i]).toBeLessThanOrEqual(Math.max(...values));
      expect(values.reduce((sum, p) => sum + Math.exp(p), 0)).toBeLessThan(1);
      if (!token.startsWith("bytes:") && token !== "<|endoftext|>") {
        expect(text.slice(logprobs!.text_offset[i]).startsWith(token)).toBe(true);
      }
    }
    const alone = await complete({ prompt, max_tokens: 2, seed: 2, logprobs: 0 });
    const [one, two] = logprobs!.tokens as [string, string];
    expect(alone.choices[0]!.logprobs!.top_logprobs.map((top) => Object.keys(top!))).toEqual([[one], [two]]);
  });

  test("greedy draws the most probable token each time", async () => {
    const { logprobs } = (await complete({ prompt, max_tokens: 6, temperature: 0, logprobs: 1 })).choices[0]!;
    expect(logprobs!.tokens).toEqual(logprobs!.top_logprobs.map((top) => Object.keys(top!)[0]));
  });
});

describe("streams", () => {
  test("the chunks' texts are the text of the whole reply; the end says why, then [DONE]", async () => {
    const fields = {
      prompt,
      max_tokens: 48,
      seed: 4,
      stop: ["never to be seen"],
      logprobs: 1,
      logit_bias: { 0: -100 },
    };
    const whole = await complete(fields);
    const chunks = await chunksOf(await call("POST", "/v1/completions", { ...fields, stream: true }));
    expect(chunks.length).toBeGreaterThan(5);
    expect(textOf(...chunks)).toBe(textOf(whole));
    expect(chunks.flatMap((c) => c.choices[0]!.logprobs!.tokens)).toEqual(whole.choices[0]!.logprobs!.tokens);
    expect(chunks.flatMap((c) => c.choices[0]!.logprobs!.text_offset)).toEqual(whole.choices[0]!.logprobs!.text_offset);
    expect(chunks.map((c) => c.choices[0]!.finish_reason)).toEqual([...chunks.slice(1).map(() => null), "length"]);
    expect(new Set(chunks.map((c) => c.id)).size).toBe(1);
    expect(chunks.every((c) => c.object === "text_completion" && c.usage === undefined)).toBe(true);
    expect(chunks.at(-1)!.seed).toBe(4);
  });

  test("usage comes in a last chunk without choices where it is asked for", async () => {
    const fields = { prompt, max_tokens: 4, seed: 4 };
    const stream = { stream: true, stream_options: { include_usage: true } };
    const chunks = await chunksOf(await call("POST", "/v1/completions", { ...fields, ...stream }));
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: (await complete(fields)).usage });
  });

  test("usage so far comes in every chunk where it is asked for", async () => {
    const fields = { prompt, max_tokens: 4, seed: 4, logit_bias };
    const { usage } = await complete({ ...fields, store: false });
    const stream = { store: false, stream: true, stream_options: { continuous_usage_stats: true } };
    const chunks = await chunksOf(await call("POST", "/v1/completions", { ...fields, ...stream }));
    expect(chunks.length).toBeGreaterThan(2);
    expect(chunks.at(-1)).toMatchObject({ usage, seed: 4 });
    for (const [i, chunk] of chunks.slice(0, -1).entries()) {
      const left = 3 - i;
      expect(chunk.seed).toBe(4);
      expect(chunk.usage).toEqual({
        ...usage!,
        completion_tokens: i + 1,
        total_tokens: usage!.total_tokens - left,
        computed_tokens: usage!.computed_tokens - left,
      });
    }
  });
});
