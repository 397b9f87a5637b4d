/** What a model package's manifest.msgpack holds. */

export const MANIFEST_FILE = "manifest.msgpack";
export const PACKAGE_VERSION = 1;
/** Most bytes of a shard. */
export const SHARD_BYTES = 8 * 1024 * 1024;
/** Tensors begin at multiples of this in the stream of shards. */
export const TENSOR_ALIGN = 16;

export interface TensorEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly encoding: "f32" | "q8";
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

export interface Manifest {
  readonly version: number;
  /** version of the tile layout, weights/layout.ts. */
  readonly layout: number;
  readonly name: string;
  /** name@first 12 hex of sha256 over all that decides what the model computes. */
  readonly id: string;
  /** as id, without the quantization: packages of one checkpoint share it. */
  readonly family: string;
  /** which block list the engine builds, such as "mamba". */
  readonly architecture: string;
  readonly hyperparameters: Readonly<Record<string, number | boolean | string>>;
  /** "f32" or "q8": what the matrices were asked to be. */
  readonly quantization: "f32" | "q8";
  /** in execution order. */
  readonly tensors: readonly TensorEntry[];
  readonly shards: readonly FileEntry[];
  readonly tokenizer?: FileEntry;
}
