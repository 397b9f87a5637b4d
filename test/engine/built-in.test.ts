import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { reply, write } from "../../scripts/lib/samples/writer.ts";
import { score } from "../../scripts/lib/score.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";
import { folderSource } from "../../weights/node/folder.ts";
import { type ChatMessage, chatFormat } from "../../worker/engine/chat.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { generate } from "../../worker/engine/generate.ts";
import { DEFAULT_MEMORY_BUDGET } from "../../worker/engine/memory.ts";
import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { wasm } from "../support/backends.ts";

const MASTER = "weights/masters/fable-31m";
const PACKAGE = "weights/models/fable-31m";

interface Prompt {
  readonly tokens: number[];
  readonly last_logits: number[];
  readonly greedy: number[];
  readonly mean_nll: number | null;
}

interface Golden {
  readonly prompts: Prompt[];
  readonly dialogues: { readonly messages: ChatMessage[]; readonly tokens: number[] }[];
  readonly evaluation: {
    readonly text: string;
    readonly tokens: number;
    readonly window: number;
    readonly nats: number;
  };
}

const golden = JSON.parse(readFileSync(`${MASTER}/golden.json`, "utf8")) as Golden;
const longest = golden.prompts.reduce((a, b) => (b.tokens.length > a.tokens.length ? b : a));

async function meanNll(model: Model, tokens: readonly number[]): Promise<number> {
  const { logProbs } = await new Sequence(model).feed(tokens.slice(0, -1), { targets: tokens.slice(1) });
  return -logProbs.reduce((a, b) => a + b, 0) / logProbs.length;
}

describe("the built-in model", async () => {
  const f32 = new MemoryPackage();
  await convertCheckpoint(await openCheckpoint(MASTER), { name: "fable-31m", quantization: "f32" }, f32);
  const [master, served] = [
    await Model.load(f32, wasm, { memoryBudget: Number.POSITIVE_INFINITY }),
    await Model.load(folderSource(PACKAGE), wasm),
  ];

  test("its package is what convert makes of its checkpoint of record, and a Worker's memory holds it", async () => {
    const q8 = new MemoryPackage();
    const made = await convertCheckpoint(await openCheckpoint(MASTER), { name: "fable-31m", quantization: "q8" }, q8);
    expect(made.id).toBe(served.manifest.id);
    const { weights, activations, statePerSequence } = served.executable.memory;
    expect(weights + activations + 8 * statePerSequence).toBeLessThan(DEFAULT_MEMORY_BUDGET);
  });

  test("f32 agrees with transformers to 1e-5", async () => {
    for (const { tokens, last_logits } of golden.prompts) {
      const { logits } = await new Sequence(master).feed(tokens, { logits: true });
      const largest = Math.max(...last_logits.map(Math.abs));
      const worst = Math.max(...logits.map((v, i) => Math.abs(v - last_logits[i]!)));
      expect(worst / largest).toBeLessThan(1e-5);
    }
    expect(await meanNll(master, longest.tokens)).toBeCloseTo(longest.mean_nll!, 5);
  });

  test("evaluation: f32 agrees with transformers to 5 digits over 4,096 tokens, q8 costs less than 0.5 % of perplexity", async () => {
    const { text, tokens, window, nats } = golden.evaluation;
    expect(tokens).toBe(4096);
    const [exact, quantized] = [
      await score(master, [text], { window, limit: tokens }),
      await score(served, [text], { window, limit: tokens }),
    ];
    expect(exact.tokens).toBe(tokens);
    expect(Math.abs(exact.nats / nats - 1)).toBeLessThan(1e-5);
    expect(Math.abs(Math.exp((quantized.nats - nats) / tokens) - 1)).toBeLessThan(0.005);
  });

  test("dialogues become the tokens that training read", () => {
    expect(golden.dialogues.length).toBeGreaterThan(1);
    for (const { messages, tokens } of golden.dialogues) {
      expect(chatFormat(served).conversation(messages, true).tokens).toEqual(tokens);
    }
  });

  test("q4 is the same model at five bits a weight", async () => {
    const q4 = await Model.load(folderSource(`${PACKAGE}-q4`), wasm);
    const { text, window } = golden.evaluation;
    const limits = { window, limit: 1024 };
    const [exact, quantized] = [await score(master, [text], limits), await score(q4, [text], limits)];
    expect(Math.abs(Math.exp((quantized.nats - exact.nats) / 1024) - 1)).toBeLessThan(0.05);
  });

  test("it answers, and ends its answer by itself", async () => {
    const { text, ended } = await reply(served, [{ role: "user", content: "Hello! How are you today?" }], {
      seed: 0,
      maxTokens: 200,
    });
    expect(text.trim()).not.toBe("");
    expect(ended).toBe(true);
  });

  test("what it writes shows no control token, and ends where it samples one", async () => {
    const tokenizer = served.requireTokenizer();
    const ends = await Promise.all(
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map(async (seed) => {
        const written = await write(served, tokenizer.encode("Hello"), {
          seed,
          maxTokens: 120,
          sampling: { temperature: 0.8 },
        });
        expect(written.text).not.toMatch(/<\|/);
        const specials = written.tokens.filter((token) => tokenizer.isSpecial(token));
        expect(specials).toEqual(written.ended ? [written.tokens.at(-1)] : []);
        return specials[0];
      }),
    );
    // Of some seeds it is the end of a turn, not of a text.
    expect(ends.filter((token) => token !== undefined && token !== tokenizer.endOfText).length).toBeGreaterThan(0);
  });

  test("it writes words, the same ones for a seed", async () => {
    const tokenizer = served.requireTokenizer();
    const story = async (): Promise<string> => {
      const prompt = tokenizer.encode("Once upon a time there was a king who");
      const pieces = generate(new Sequence(served), { prompt, maxTokens: 40, sampling: { seed: 3, temperature: 0.8 } });
      let text = "";
      for await (const piece of pieces) text += piece.text;
      return text;
    };
    const text = await story();
    expect(text.split(/\s+/).length).toBeGreaterThan(15);
    expect(text).toMatch(/\b(the|and|his|he|was|had)\b/);
    expect(await story()).toBe(text);
  });
});
