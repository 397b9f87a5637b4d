import type { Backend } from "../../kernels/backend.ts";
import type { Encoding } from "../../weights/layout.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { Model, type ModelOptions } from "../../worker/engine/model.ts";
import { type TinySizes, tinyCheckpoint } from "./checkpoints.ts";
import { byteTokenizer } from "./tokenizers.ts";

/** A tiny random model with a byte-level tokenizer as a package in memory. */
export async function tinyPackage(
  sizes: Partial<TinySizes> = {},
  quantization: Encoding = "f32",
): Promise<MemoryPackage> {
  const memory = new MemoryPackage();
  const checkpoint = { ...tinyCheckpoint(sizes), tokenizer: byteTokenizer() };
  await convertCheckpoint(checkpoint, { name: "tiny", quantization }, memory);
  return memory;
}

export async function tinyModel(
  backend: Backend,
  sizes: Partial<TinySizes> = {},
  quantization: Encoding = "f32",
  options: ModelOptions = {},
): Promise<Model> {
  return Model.load(await tinyPackage(sizes, quantization), backend, options);
}
