import { describe, expect, test } from "vitest";
import type { Completion } from "../../worker/edge/schemas/completion.ts";
import { call, chunksOf, complete, textOf } from "./support/client.ts";

const prompt = "Once upon a time";
const bytes = (text: string): number[] => [...new TextEncoder().encode(text)].map((byte) => byte + 1);
const fields = { max_tokens: 12, seed: 3, logit_bias: { 0: -100 } };

describe("several choices of several prompts", () => {
  const prompts = [prompt, "It was", "Then she said that"];

  test("are those of single requests, prompt after prompt, drawn with seed + i", async () => {
    const batch = await complete({ ...fields, prompt: prompts, n: 2, logprobs: 1 });
    const alone: Completion[] = [];
    for (const one of prompts) {
      for (const i of [0, 1]) alone.push(await complete({ ...fields, prompt: one, seed: 3 + i, logprobs: 1 }));
    }
    expect(batch.choices).toEqual(alone.map((reply, index) => ({ ...reply.choices[0], index })));
    expect(batch.seed).toBe(3);
    const sum = (of: (usage: NonNullable<typeof batch.usage>) => number) =>
      alone.reduce((all, reply) => all + of(reply.usage!), 0);
    expect(batch.usage).toMatchObject({
      // A prompt counts once for all its choices.
      prompt_tokens: sum((u) => u.prompt_tokens) / 2,
      completion_tokens: sum((u) => u.completion_tokens),
    });
    expect(batch.usage!.total_tokens).toBe(batch.usage!.prompt_tokens + batch.usage!.completion_tokens);
    expect(batch.usage!.computed_tokens).toBeLessThan(sum((u) => u.computed_tokens));
  });

  test("as lists of token ids they are the same", async () => {
    const texts = await complete({ ...fields, prompt: prompts });
    const tokens = await complete({ ...fields, prompt: prompts.map(bytes) });
    expect(tokens.choices).toEqual(texts.choices);
    expect(tokens.usage).toEqual(texts.usage);
  });

  test("a long prompt is computed once for its choices, and found again the next time", async () => {
    const long = "Once upon a time there was a text that was longer than sixty-four tokens, which are bytes here. ";
    const first = await complete({ ...fields, prompt: long, n: 3 });
    expect(first.usage!.computed_tokens).toBe(long.length + 3 * fields.max_tokens);
    const again = await complete({ ...fields, prompt: long, n: 3 });
    expect(again.choices).toEqual(first.choices);
    expect(again.usage!.prompt_tokens_details.cached_tokens).toBe(long.length);
    expect(again.usage!.computed_tokens).toBe(3 * fields.max_tokens);
    expect((await complete({ ...fields, prompt: long, n: 3, store: false })).choices).toEqual(first.choices);
  });

  test("streamed, they follow one another; the usage comes last, and is null before", async () => {
    const whole = await complete({ ...fields, prompt: prompts, n: 2, echo: true, logprobs: 2 });
    const body = { ...fields, prompt: prompts, n: 2, echo: true, logprobs: 2 };
    const stream = { stream: true, stream_options: { include_usage: true } };
    const chunks = await chunksOf(await call("POST", "/v1/completions", { ...body, ...stream }));
    for (const { index, text, finish_reason, logprobs } of whole.choices) {
      const own = chunks.filter((c) => c.choices[0]?.index === index);
      expect(textOf(...own)).toBe(text);
      expect(own.map((c) => c.choices[0]!.finish_reason)).toEqual([...own.slice(1).map(() => null), finish_reason]);
      for (const key of ["tokens", "token_logprobs", "top_logprobs", "text_offset"] as const) {
        expect(own.flatMap((c) => c.choices[0]!.logprobs![key] as unknown[])).toEqual(logprobs![key]);
      }
    }
    const order = chunks.flatMap((c) => c.choices.map(({ index }) => index));
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(chunks.slice(0, -1).every((c) => c.usage === null)).toBe(true);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 72 } });
  });

  test("best_of gives those with the highest log-probability a token", async () => {
    const all = await complete({ ...fields, prompt, n: 5, logprobs: 0 });
    const score = ({ logprobs }: (typeof all.choices)[number]) =>
      logprobs!.token_logprobs.reduce<number>((sum, p) => sum + p!, 0) / logprobs!.tokens.length;
    const best = all.choices.toSorted((a, b) => score(b) - score(a)).map(({ text }) => text);
    const two = await complete({ ...fields, prompt, n: 2, best_of: 5 });
    expect(two.choices.map(({ text, index, logprobs }) => ({ text, index, logprobs }))).toEqual(
      best.slice(0, 2).map((text, index) => ({ text, index, logprobs: null })),
    );
    expect(two.usage!.completion_tokens).toBe(60);
    expect((await complete({ ...fields, prompt, n: 5, best_of: 5 })).choices.map(({ text }) => text)).toEqual(
      all.choices.map(({ text }) => text),
    );
  });
});

describe("echo", () => {
  test("puts the prompt in front, as text or as the text of its tokens", async () => {
    const text = textOf(await complete({ ...fields, prompt }));
    expect(textOf(await complete({ ...fields, prompt, echo: true }))).toBe(`${prompt}${text}`);
    expect(textOf(await complete({ ...fields, prompt: bytes(prompt), echo: true }))).toBe(`${prompt}${text}`);
  });

  test("with logprobs scores the prompt, whose first token has nothing in front", async () => {
    const reply = await complete({ ...fields, prompt, echo: true, logprobs: 2 });
    const { text, logprobs } = reply.choices[0]!;
    expect(logprobs!.tokens.length).toBe(prompt.length + fields.max_tokens);
    expect(logprobs!.tokens.slice(0, prompt.length).join("")).toBe(prompt);
    expect([logprobs!.token_logprobs[0], logprobs!.top_logprobs[0]]).toEqual([null, null]);
    expect(logprobs!.text_offset.slice(0, prompt.length + 1)).toEqual([...prompt, ""].map((_, i) => i));
    for (const [i, token] of logprobs!.tokens.entries()) {
      if (i > 0) expect(logprobs!.top_logprobs[i]![token]).toBe(logprobs!.token_logprobs[i]);
      if (!token.startsWith("bytes:")) expect(text.startsWith(token, logprobs!.text_offset[i])).toBe(true);
    }
    // Each token of the prompt is scored as one that is generated after those before it.
    for (const at of [1, 7, prompt.length - 1]) {
      const next = bytes(prompt)[at]!;
      const forced = await complete({
        prompt: prompt.slice(0, at),
        max_tokens: 1,
        temperature: 0,
        logit_bias: { [next]: 100 },
        logprobs: 2,
      });
      expect(logprobs!.token_logprobs[at]).toBe(forced.choices[0]!.logprobs!.token_logprobs[0]);
      expect(logprobs!.top_logprobs[at]).toEqual(forced.choices[0]!.logprobs!.top_logprobs[0]);
    }
    const plain = await complete({ ...fields, prompt, logprobs: 2 });
    expect(logprobs!.token_logprobs.slice(prompt.length)).toEqual(plain.choices[0]!.logprobs!.token_logprobs);
  });

  test("and max_tokens 0 only scores, as evaluations ask for", async () => {
    const reply = await complete({ prompt, echo: true, logprobs: 1, max_tokens: 0 });
    expect(reply.choices[0]).toMatchObject({ text: prompt, finish_reason: "length" });
    expect(reply.choices[0]!.logprobs!.tokens.length).toBe(prompt.length);
    expect(reply.usage).toMatchObject({ prompt_tokens: prompt.length + 1, completion_tokens: 0 });
  });
});
