/** What a model package's manifest.msgpack holds. */
import type { ImageInputSpec } from "./image-input.ts";
import type { Encoding } from "./layout.ts";

export const MANIFEST_FILE = "manifest.msgpack";
export const PACKAGE_VERSION = 1;
/** Most bytes of a shard. */
export const SHARD_BYTES = 8 * 1024 * 1024;
/** Most bytes of a manifest. */
export const MANIFEST_BYTES = 1024 * 1024;
/** Most bytes of a tokenizer: what an asset server takes in one file. */
export const TOKENIZER_BYTES = 25 * 1024 * 1024;
/** Most bytes of a chat template. */
export const CHAT_TEMPLATE_BYTES = 256 * 1024;
/** Tensors begin at multiples of this in the stream of shards. */
export const TENSOR_ALIGN = 16;

export interface TensorEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly encoding: Encoding;
  /** first byte in the shards laid end to end; a tensor may cross shards. */
  readonly offset: number;
  readonly bytes: number;
}

export interface FileEntry {
  readonly file: string;
  readonly bytes: number;
  /** lower-case hex. */
  readonly sha256: string;
}

/** Sizes and switches of an architecture; numbers may be infinite but not NaN. */
export type Hyperparameters = Readonly<Record<string, number | boolean | string>>;

export interface Manifest {
  readonly version: number;
  /** version of the tile layout, weights/layout.ts. */
  readonly layout: number;
  readonly name: string;
  /** name@first 12 hex of sha256 over all that decides what the model computes. */
  readonly id: string;
  /** architecture@first 12 hex, without name and quantization: packages of one checkpoint share it. */
  readonly family: string;
  /** which block list the engine builds, such as "mamba". */
  readonly architecture: string;
  readonly hyperparameters: Hyperparameters;
  /** what the matrices were asked to be. */
  readonly quantization: Encoding;
  /** sha256 over the f32 values that the tensors were encoded from: `sourceHash` of weights/ids.ts. */
  readonly source: string;
  /** in execution order. */
  readonly tensors: readonly TensorEntry[];
  readonly shards: readonly FileEntry[];
  readonly tokenizer?: FileEntry;
  /** Jinja, as Hugging Face's tokenizers have it. */
  readonly chatTemplate?: FileEntry;
  /** of image models: what images they are fed. */
  readonly image?: ImageInputSpec;
  /** of models that learn from examples (x, y): how many came before a question, at most, while it was trained. No part of the id. */
  readonly trainedExamples?: number;
}
