import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { MemoryPackage } from "../../weights/memory.ts";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";
import { folderSource } from "../../weights/node/folder.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { generate } from "../../worker/engine/generate.ts";
import { DEFAULT_MEMORY_BUDGET, Model } from "../../worker/engine/model.ts";
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

const golden = JSON.parse(readFileSync(`${MASTER}/golden.json`, "utf8")) as { prompts: Prompt[] };
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

  test("q8 costs next to nothing", async () => {
    const [exact, quantized] = [await meanNll(master, longest.tokens), await meanNll(served, longest.tokens)];
    expect(Math.abs(quantized - exact)).toBeLessThan(0.02);
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
