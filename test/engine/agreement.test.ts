import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Encoding } from "../../weights/layout.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { everyBackend, reference, wasm } from "../support/backends.ts";
import { randomNumbers, type TinySizes } from "../support/checkpoints.ts";
import { tinyModel } from "../support/models.ts";

interface Prompt {
  readonly tokens: number[];
  readonly last_logits: number[];
  readonly greedy: number[];
  readonly mean_nll: number | null;
}

const FOLDER = "test/golden/mamba-tiny";
const golden = JSON.parse(readFileSync(`${FOLDER}/golden.json`, "utf8")) as { prompts: Prompt[] };

async function goldenModel(backend: (typeof everyBackend)[number][1], quantization: Encoding): Promise<Model> {
  const memory = new MemoryPackage();
  await convertCheckpoint(await openCheckpoint(FOLDER), { name: "golden", quantization }, memory);
  return Model.load(memory, backend);
}

/** max |a − b| / max |b| */
function error(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, largest] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
    largest = Math.max(largest, Math.abs(b[i]!));
  }
  return difference / largest;
}

async function greedy(sequence: Sequence, logits: Float32Array, count: number): Promise<number[]> {
  const tokens: number[] = [];
  for (let next = logits; tokens.length < count; ) {
    tokens.push(next.indexOf(Math.max(...next)));
    next = (await sequence.feed(tokens.slice(-1), { logits: true })).logits;
  }
  return tokens;
}

describe.each(everyBackend)("golden vectors of transformers on %s", (_, backend) => {
  test("f32 within 1e-4 of the largest logit, greedy and loss equal", async () => {
    const model = await goldenModel(backend, "f32");
    for (const prompt of golden.prompts) {
      const sequence = new Sequence(model);
      const targets = [...prompt.tokens.slice(1), 0];
      const { logits, logProbs } = await sequence.feed(prompt.tokens, { logits: true, targets });
      expect(logits).toHaveLength(prompt.last_logits.length);
      expect(error(logits, prompt.last_logits)).toBeLessThan(1e-4);
      const known = prompt.tokens.length - 1;
      if (prompt.mean_nll !== null) {
        const nll = -logProbs.subarray(0, known).reduce((a, b) => a + b, 0) / known;
        expect(Math.abs(nll / prompt.mean_nll - 1)).toBeLessThan(1e-4);
      }
      expect(await greedy(sequence, logits, 12)).toEqual(prompt.greedy);
    }
  });

  test("q8 within 5e-2", async () => {
    const model = await goldenModel(backend, "q8");
    for (const prompt of golden.prompts) {
      const { logits } = await new Sequence(model).feed(prompt.tokens, { logits: true });
      expect(error(logits, prompt.last_logits)).toBeLessThan(5e-2);
    }
  });
});

describe("wasm against the reference", () => {
  const shapes: [string, Partial<TinySizes>][] = [
    ["multiples of everything", { dim: 64, vocab: 512 }],
    ["state size 8", { state: 8 }],
    ["state size 5", { state: 5 }],
    ["conv width 3", { conv: 3 }],
    ["conv width 2", { conv: 2 }],
    ["expand 3", { expand: 3 }],
    ["biases", { bias: true }],
    ["no conv bias, untied head", { convBias: false, tied: false }],
    ["vocabulary 517", { vocab: 517 }],
    ["nothing even", { dim: 37, vocab: 517, state: 7, conv: 5, expand: 3, dtRank: 5, bias: true, tied: false }],
  ];
  test.each(shapes)("%s: f32 ≤ 1e-4, q8 and q4 ≤ 4e-2", async (_, sizes) => {
    const random = randomNumbers(11);
    const tokens = Array.from({ length: 41 }, () => Math.floor(random() * (sizes.vocab ?? 260)));
    for (const [quantization, bound] of [
      ["f32", 1e-4],
      ["q8", 4e-2],
      ["q4", 4e-2],
    ] as const) {
      const [a, b] = [await tinyModel(wasm, sizes, quantization), await tinyModel(reference, sizes, quantization)];
      const [x, y] = [
        await new Sequence(a).feed(tokens, { logits: true }),
        await new Sequence(b).feed(tokens, { logits: true }),
      ];
      expect(error(x.logits, y.logits)).toBeLessThan(bound);
    }
  });
});
