import { expect, test } from "vitest";
import { stagingBytes } from "../../weights/loader.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import type { PackageSource } from "../../weights/source.ts";
import { beginLoad } from "../../worker/engine/begun-load.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { nextMacrotask } from "../../worker/engine/macrotask.ts";
import { memoryNeed } from "../../worker/engine/memory.ts";
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
  await expect(Model.load(memory, wasm, { memoryBudget: bytes - 1 })).rejects.toThrow(/budget/);
  await Model.load(memory, wasm, { memoryBudget: bytes });
  expect(bytes).toBeLessThan(4e6);
});

test("loading counts two staging buffers and one state, where that is more than all the states", () => {
  const plan = { weights: 100, activations: 10, statePerSequence: 3 };
  const shards = [7, 7, 2].map((bytes) => ({ file: "", bytes, sha256: "" }));
  expect(stagingBytes({ shards })).toBe(14);
  expect(stagingBytes({ shards: shards.slice(0, 1) })).toBe(7);
  expect(memoryNeed(plan, 5, 14)).toBe(127);
  expect(memoryNeed(plan, 8, 14)).toBe(134);
  expect(memoryNeed(plan, 5, 0)).toBe(125);
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

test("shards and the tokenizer are on their way together, and the manifest before the backend is there", async () => {
  const memory = new MemoryPackage();
  const checkpoint = { ...tinyCheckpoint({ vocab: 260 }), tokenizer: byteTokenizer() };
  await convertCheckpoint(checkpoint, { name: "small", quantization: "f32" }, memory);
  const opened: string[] = [];
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const source: PackageSource = {
    description: "recording",
    async open(file, signal) {
      opened.push(file);
      if (file === "tokenizer.json") await held;
      return memory.open(file, signal);
    },
  };
  let ready = (_: typeof wasm): void => {};
  const backend = new Promise<typeof wasm>((resolve) => {
    ready = resolve;
  });
  const opening = Model.open(source, backend, { onPlaced: (weights) => void beginLoad(weights, source) });
  await nextMacrotask();
  expect(opened).toEqual(["manifest.msgpack"]);
  ready(wasm);
  while (opened.length < 3) await nextMacrotask();
  release();
  await opening;
  expect(opened).toEqual(["manifest.msgpack", "tokenizer.json", "shard-000.bin"]);
});
