import { describe, expect, test } from "vitest";
import { MemoryPackage } from "../../weights/memory.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import {
  type GeneratedToken,
  type GenerationOptions,
  type GenerationResult,
  generate,
} from "../../worker/engine/generate.ts";
import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { decodeSnapshot, encodeSnapshot, restoreSnapshot, takeSnapshot } from "../../worker/engine/snapshot.ts";
import { reference, wasm } from "../support/backends.ts";
import { randomNumbers, tinyCheckpoint } from "../support/checkpoints.ts";
import { tinyModel } from "../support/models.ts";
import { chatTokenizer } from "../support/tokenizers.ts";

const PROMPT = "The cat ☃";
/** Keeps the random model from drawing the end-of-text token. */
const NEVER_ENDS = new Map([[0, -100]]);

async function run(
  sequence: Sequence,
  options: Partial<GenerationOptions>,
): Promise<GenerationResult & { text: string; ids: number[]; tokens: GeneratedToken[] }> {
  const sampling = { logitBias: NEVER_ENDS, ...options.sampling };
  const generation = generate(sequence, { prompt: [], maxTokens: 16, ...options, sampling });
  let text = "";
  const tokens: GeneratedToken[] = [];
  for (;;) {
    const { value, done } = await generation.next();
    const chunk = done ? value.tail : value;
    text += chunk.text;
    tokens.push(...chunk.tokens);
    if (done) return { ...value, text, tokens, ids: tokens.map((t) => t.id) };
  }
}

/** As a Durable Object would keep it. */
async function stored(model: Model, sequence: Sequence): Promise<Sequence> {
  return restoreSnapshot(model, await decodeSnapshot(await encodeSnapshot(await takeSnapshot(sequence))));
}

// A tied model with random weights does little but repeat its last token.
const model = await tinyModel(wasm, { tied: false });
const prompt = model.requireTokenizer().encode(PROMPT);

describe("generation", () => {
  test("the same seed gives the same text, another seed another", async () => {
    const [a, b, c] = await Promise.all(
      [7, 7, 8].map((seed) => run(new Sequence(model), { prompt, sampling: { seed } })),
    );
    expect(a!.ids).toEqual(b!.ids);
    expect(a!.ids).not.toEqual(c!.ids);
    expect(a!.ids).toHaveLength(16);
  });

  test("a fresh sequence is fed the end-of-text token first, once", async () => {
    const plain = await run(new Sequence(model), { prompt, sampling: { seed: 1 } });
    const given = await run(new Sequence(model), { prompt: [0, ...prompt], sampling: { seed: 1 } });
    expect(plain.promptTokens).toBe(prompt.length + 1);
    expect(given.ids).toEqual(plain.ids);
  });

  const settings: [string, Partial<GenerationOptions>][] = [
    ["plain sampling", {}],
    ["greedy", { sampling: { temperature: 0 } }],
    ["penalties", { sampling: { repetitionPenalty: 1.3, frequencyPenalty: 0.4, presencePenalty: 0.2 } }],
    ["truncated sampling", { sampling: { temperature: 0.9, topK: 40, topP: 0.9, minP: 0.01 } }],
    ["stop strings that never come whole", { stop: ["\u0001\u0002\u0003\u0004", "é☃☃☃☃"] }],
  ];
  test.each(settings)("%s: cut anywhere and stored between, the text is that of one run", async (_, options) => {
    const sampling = { seed: 5, ...options.sampling };
    const whole = await run(new Sequence(model), { ...options, prompt, maxTokens: 40, sampling, keepHeld: true });
    const random = randomNumbers(3);
    for (let trial = 0; trial < 8; trial++) {
      let sequence = new Sequence(model);
      let [text, ids, left] = ["", [] as number[], 40];
      while (left > 0) {
        const maxTokens = Math.min(left, 1 + Math.floor(random() * 15));
        const first = left === 40;
        const part = await run(sequence, {
          ...options,
          prompt: first ? prompt : [],
          maxTokens,
          sampling: first ? sampling : { ...sampling, seed: undefined },
          keepHeld: true,
        });
        expect(part.cachedTokens > 0).toBe(!first);
        expect(part.computedTokens).toBe(maxTokens + (first ? prompt.length : 0));
        text += part.text;
        ids = [...ids, ...part.ids];
        left -= maxTokens;
        sequence = await stored(model, sequence);
      }
      expect(ids).toEqual(whole.ids);
      expect(text).toBe(whole.text);
    }
  });

  test("a text appended in parts and then continued is the text given at once", async () => {
    const whole = await run(new Sequence(model), { prompt, sampling: { seed: 2 } });
    const sequence = new Sequence(model);
    for (const token of prompt) {
      const { computedTokens, completionTokens } = await run(sequence, { prompt: [token], maxTokens: 0 });
      expect([computedTokens, completionTokens]).toEqual([1, 0]);
    }
    const rest = await run(sequence, { sampling: { seed: 2 } });
    expect(rest.ids).toEqual(whole.ids);
    expect(rest.promptTokens).toBe(whole.promptTokens);
  });

  test("a single completion gives out what a session would keep", async () => {
    const options = { prompt, maxTokens: 30, sampling: { seed: 9 } };
    const bytes = (ids: readonly number[]): number[] => ids.flatMap((id) => [...model.requireTokenizer().bytes(id)]);
    const single = await run(new Sequence(model), options);
    expect(single.text).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(bytes(single.ids))));
  });

  test.each([
    -1,
    1.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    "5" as never,
  ])("maxTokens %j, which no count comes to, is refused before anything is fed", async (maxTokens) => {
    const sequence = new Sequence(await tinyModel(reference));
    const enough = (): boolean => true;
    await expect(run(sequence, { prompt: [1], maxTokens, enough })).rejects.toThrow(
      /^maxTokens is .*: it must be a whole/,
    );
    expect(sequence.length).toBe(0);
  });

  test("stop strings end the text before them, wherever the tokens cut it", async () => {
    const free = await run(new Sequence(model), { prompt, maxTokens: 60, sampling: { seed: 4 } });
    const at = [...free.text].findIndex((c, i) => i > 5 && c >= "!" && c <= "~");
    const characters = [...free.text];
    const stop = characters.slice(at, at + 3).join("");
    const stopped = await run(new Sequence(model), { prompt, maxTokens: 60, sampling: { seed: 4 }, stop: [stop] });
    expect(stopped.finishReason).toBe("stop");
    expect(stopped.text).toBe(free.text.slice(0, free.text.indexOf(stop)));
    expect(stopped.completionTokens).toBeLessThan(60);
  });

  test("the end-of-text token ends the generation and is not given out", async () => {
    const ended = await run(new Sequence(model), { prompt, sampling: { seed: 1, logitBias: new Map([[0, 100]]) } });
    expect(ended).toMatchObject({ finishReason: "stop", text: "", completionTokens: 1, ids: [0] });
  });

  describe("control tokens", async () => {
    const [USER, END] = [258, 260];
    const memory = new MemoryPackage();
    const checkpoint = tinyCheckpoint({ vocab: 261, tied: false });
    await convertCheckpoint(
      { ...checkpoint, tokenizer: chatTokenizer() },
      { name: "chat", quantization: "f32" },
      memory,
    );
    const chat = await Model.load(memory, wasm);
    /** Makes them as probable as some of the others. */
    const logitBias = new Map(
      [0, 257, USER, 259, END].map((token): [number, number] => [token, token === 0 ? -100 : 4]),
    );

    test.each([
      USER,
      END,
    ])("%i ends the generation, is not given out, and is fed before what comes next", async (token) => {
      const [sequence, unbroken] = [new Sequence(chat), new Sequence(chat)];
      const forced = { seed: 1, logitBias: new Map([[token, 100]]) };
      const ended = await run(sequence, { prompt, sampling: forced, keepHeld: true });
      expect(ended).toMatchObject({ finishReason: "stop", text: "", completionTokens: 1, ids: [token] });
      expect(sequence.pending).toEqual([token]);
      const sampling = {
        seed: 2,
        logitBias: new Map([0, 257, USER, 259, END].map((id): [number, number] => [id, -100])),
      };
      const next = await run(await stored(chat, sequence), { sampling });
      const whole = await run(unbroken, { prompt: [...prompt, token], sampling });
      expect([next.ids, next.text]).toEqual([whole.ids, whole.text]);
    });

    test("the tokens before one are those of a generation without, and no text spells one", async () => {
      let early = 0;
      for (let seed = 1; seed <= 12; seed++) {
        const fields = { prompt, maxTokens: 40, sampling: { seed, logitBias } };
        const { text, ids, finishReason } = await run(new Sequence(chat), fields);
        const special = ids.findIndex((id) => chat.requireTokenizer().isSpecial(id));
        expect(text).not.toMatch(/<\|/);
        expect([special, finishReason]).toEqual(special < 0 ? [-1, "length"] : [ids.length - 1, "stop"]);
        if (special < 0) continue;
        early++;
        const cut = await run(new Sequence(chat), { ...fields, maxTokens: ids.length });
        expect(cut.ids).toEqual(ids);
      }
      expect(early).toBeGreaterThan(2);
    });
  });

  test("log-probabilities are the model's own", async () => {
    const sampling = { seed: 1, temperature: 2 };
    const { tokens } = await run(new Sequence(model), { prompt, maxTokens: 4, sampling, logprobs: 3 });
    const ids = tokens.map((t) => t.id);
    const { logProbs } = await new Sequence(model).feed([0, ...prompt, ...ids.slice(0, -1)], {
      targets: [...prompt, ...ids],
    });
    expect(tokens).toHaveLength(4);
    for (const [i, { logprob, top }] of tokens.entries()) {
      expect(logprob).toBeCloseTo(logProbs[prompt.length + i]!, 4);
      expect(top).toHaveLength(3);
      expect(top![0]![1]).toBeGreaterThanOrEqual(logprob!);
    }
  });

  test.each([
    ["nothing to continue", { prompt: [] }, /nothing to continue/],
    ["NaN temperature", { prompt, sampling: { temperature: Number.NaN } }, /temperature/],
    ["a token out of range", { prompt: [999] }, /token 999 .* outside the vocabulary 0\.\.259/],
  ])("%s is refused", async (_, options, message) => {
    await expect(run(new Sequence(model), options)).rejects.toThrow(message);
  });

  test("an abort ends it between two pieces", async () => {
    const controller = new AbortController();
    const sequence = new Sequence(model);
    const generation = generate(sequence, {
      prompt,
      maxTokens: 1_000_000,
      sampling: { seed: 1, logitBias: NEVER_ENDS },
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(new Error("client left")), 20);
    await expect(
      (async () => {
        for await (const _ of generation);
      })(),
    ).rejects.toThrow("client left");
    expect(sequence.consumed).toBeLessThan(1_000_000);
  });

  test("reference and wasm draw the same tokens", async () => {
    const other = await tinyModel(reference, { tied: false });
    const options = { prompt, maxTokens: 24, sampling: { seed: 12 } };
    expect((await run(new Sequence(other), options)).ids).toEqual((await run(new Sequence(model), options)).ids);
  });
});

describe("several sequences", () => {
  test("8 interleaved equal 8 on their own", async () => {
    const options = (seed: number) => ({ prompt: prompt.slice(0, 3 + seed), maxTokens: 20, sampling: { seed } });
    const alone = [];
    for (let seed = 0; seed < 8; seed++) alone.push(await run(new Sequence(model), options(seed)));
    const together = await Promise.all(Array.from({ length: 8 }, (_, seed) => run(new Sequence(model), options(seed))));
    expect(together.map((r) => r.ids)).toEqual(alone.map((r) => r.ids));
  });

  test("a fork goes its own way and leaves its parent alone", async () => {
    const parent = new Sequence(model);
    await run(parent, { prompt, sampling: { seed: 1 } });
    const before = await encodeSnapshot(await takeSnapshot(parent));
    const fork = parent.fork();
    const [a, b] = [await run(fork, { sampling: { seed: 1 } }), await run(parent.fork(), { sampling: { seed: 2 } })];
    expect(a.ids).not.toEqual(b.ids);
    expect(await encodeSnapshot(await takeSnapshot(parent))).toEqual(before);
    expect((await run(parent, { sampling: { seed: 1 } })).ids).toEqual(a.ids);
  });

  test("a disposed sequence says so", async () => {
    const sequence = new Sequence(model);
    sequence.dispose();
    sequence.dispose();
    await expect(sequence.feed([1])).rejects.toThrow(/disposed/);
    expect(() => sequence.fork()).toThrow(/disposed/);
  });
});
