import { expect, test } from "vitest";
import { MemoryPackage } from "../../weights/memory.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { wasm } from "../support/backends.ts";
import { tinyCheckpoint } from "../support/checkpoints.ts";
import { tinyPackage } from "../support/models.ts";
import { byteTokenizer } from "../support/tokenizers.ts";

test("a package over the memory budget is refused with the numbers, before its weights are read", async () => {
  const memory = await tinyPackage();
  const opened: string[] = [];
  const open = (file: string): Promise<ReadableStream<Uint8Array>> => {
    opened.push(file);
    return memory.open(file);
  };
  const source = { description: "counted", open };
  const loading = Model.load(source, wasm, { memoryBudget: 100_000 });
  await expect(loading).rejects.toThrow(/needs \d+\.\d MB \(weights .* states .*\), the budget is 0\.1 MB: convert it/);
  expect(opened).toEqual(["manifest.msgpack"]);
});

test("the plan is what is allocated", async () => {
  const memory = await tinyPackage({}, "q8");
  const model = await Model.load(memory, wasm);
  const { weights, activations, statePerSequence } = model.executable.memory;
  const sequences = Array.from({ length: 8 }, () => new Sequence(model));
  const bytes = weights + activations + sequences.length * statePerSequence;
  await expect(Model.load(memory, wasm, { memoryBudget: bytes })).rejects.toThrow(/budget/);
  expect(bytes).toBeLessThan(4e6);
});

test("a tokenizer with more tokens than the embedding has rows is refused", async () => {
  const memory = new MemoryPackage();
  const checkpoint = { ...tinyCheckpoint({ vocab: 200 }), tokenizer: byteTokenizer() };
  await convertCheckpoint(checkpoint, { name: "small", quantization: "f32" }, memory);
  await expect(Model.load(memory, wasm)).rejects.toThrow(/257 tokens, the embedding has 200 rows/);
});

test("a package without a tokenizer takes token ids and says so to text", async () => {
  const memory = new MemoryPackage();
  await convertCheckpoint(tinyCheckpoint(), { name: "mute", quantization: "f32" }, memory);
  const model = await Model.load(memory, wasm);
  expect((await new Sequence(model).feed([1, 2], { logits: true })).logits).toHaveLength(260);
  expect(() => model.requireTokenizer()).toThrow(/mute@.* has no tokenizer: give token ids/);
});

test("blocks compute as soon as their weights are there", async () => {
  const memory = await tinyPackage({ layers: 4 });
  const model = await Model.open(memory, wasm);
  expect(model.ready).toBe(false);
  await expect(new Sequence(model).feed([1])).rejects.toThrow(/is not loaded/);
  const shards = model.weights.lead(memory);
  const waits: number[] = [];
  const sequence = new Sequence(model);
  const { logits } = await sequence.feed([5, 6, 7], {
    logits: true,
    more: async () => {
      waits.push(model.executable.blocksLoaded);
      await shards.next();
    },
  });
  const whole = await Model.load(memory, wasm);
  expect(waits[0]).toBe(0);
  expect(logits.slice()).toEqual((await new Sequence(whole).feed([5, 6, 7], { logits: true })).logits.slice());
});
