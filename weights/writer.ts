/** Writing a model package: shards as they fill, the manifest last. */
import { encodeManifest } from "./codec.ts";
import { PackageError } from "./errors.ts";
import { sha256 } from "./hash.ts";
import { familyId, packageId, sourceHash } from "./ids.ts";
import type { ImageInputSpec } from "./image-input.ts";
import { type Encoding, LAYOUT_VERSION } from "./layout.ts";
import {
  CHAT_TEMPLATE_BYTES,
  type FileEntry,
  type Hyperparameters,
  MANIFEST_FILE,
  type Manifest,
  PACKAGE_VERSION,
  SHARD_BYTES,
  TENSOR_ALIGN,
  type TensorEntry,
} from "./manifest.ts";
import { encodeTensor } from "./quantize.ts";
import type { Q4Options } from "./quantize-q4.ts";
import type { PackageSink } from "./source.ts";
import { checkName } from "./validate.ts";

export const TOKENIZER_FILE = "tokenizer.json";
export const CHAT_TEMPLATE_FILE = "chat_template.jinja";
/** Model card and licence: in the package's folder, but no part of what its id stands for. */
export const CARD_FILE = "README.md";
export const LICENSE_FILE = "LICENSE";

/** A tensor to be written. */
export interface TensorInput extends Q4Options {
  readonly name: string;
  readonly shape: readonly number[];
  readonly encoding: Encoding;
  /** row-major; not used after the next tensor is asked for. */
  readonly data: Float32Array;
}

export interface PackageInput {
  readonly name: string;
  /** which block list the engine builds, such as "mamba". */
  readonly architecture: string;
  readonly hyperparameters: Hyperparameters;
  readonly quantization: Encoding;
  /** in execution order. A generator that reads one tensor at a time keeps a large model out of memory. */
  readonly tensors: Iterable<TensorInput> | AsyncIterable<TensorInput>;
  /** tokenizer.json. */
  readonly tokenizer?: Uint8Array | undefined;
  /** chat_template.jinja. */
  readonly chatTemplate?: Uint8Array | undefined;
  /** of image models. */
  readonly image?: ImageInputSpec | undefined;
  /** of models that learn from examples: the manifest's. */
  readonly trainedExamples?: number | undefined;
  /** Markdown. */
  readonly card?: string | undefined;
  readonly license?: string | undefined;
  /** size of every shard but the last, a multiple of 16 and at most SHARD_BYTES, which is the default. */
  readonly shardBytes?: number | undefined;
}

/**
 * Writes a package, holding one tensor and one shard in memory. When anything fails the sink is discarded.
 * @param onTensor hears of each tensor as it is written, for a progress line or `relativeRms(input.data, decodeTensor(…, bytes))`
 * @throws PackageError when the name, a tensor or the tokenizer cannot be in a package
 */
export async function buildPackage(
  input: PackageInput,
  sink: PackageSink,
  onTensor?: (input: TensorInput, bytes: Uint8Array) => void,
): Promise<Manifest> {
  try {
    checkName(input.name);
    const manifest = await writeFiles(input, sink, onTensor);
    await sink.commit();
    return manifest;
  } catch (error) {
    await sink.discard();
    throw error;
  }
}

async function writeFiles(
  input: PackageInput,
  sink: PackageSink,
  onTensor?: (input: TensorInput, bytes: Uint8Array) => void,
): Promise<Manifest> {
  const shards = new ShardWriter(sink, input.shardBytes ?? SHARD_BYTES);
  const tensors: TensorEntry[] = [];
  const hashes: { name: string; sha256: string }[] = [];
  for await (const tensor of input.tensors) {
    const { name, shape, encoding, data } = tensor;
    const bytes = encodeTensor(name, shape, data, encoding, tensor);
    const offset = await shards.append(bytes);
    tensors.push({ name, shape: [...shape], encoding, offset, bytes: bytes.byteLength });
    hashes.push({
      name,
      sha256: await sha256(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
    });
    onTensor?.(tensor, bytes);
  }
  if (tensors.length === 0) throw new PackageError(`package ${input.name}: no tensors; was the checkpoint read?`);
  const tokenizer = input.tokenizer && (await writeFile(sink, TOKENIZER_FILE, input.tokenizer));
  const template = input.chatTemplate;
  if (template !== undefined && !(template.byteLength > 0 && template.byteLength <= CHAT_TEMPLATE_BYTES)) {
    throw new PackageError(
      `package ${input.name}: a chat template of ${template.byteLength} bytes, must be 1 to ${CHAT_TEMPLATE_BYTES}`,
    );
  }
  const chatTemplate = template && (await writeFile(sink, CHAT_TEMPLATE_FILE, template));
  const contents = {
    version: PACKAGE_VERSION,
    layout: LAYOUT_VERSION,
    name: input.name,
    architecture: input.architecture,
    hyperparameters: input.hyperparameters,
    quantization: input.quantization,
    source: await sourceHash(hashes),
    tensors,
    shards: await shards.finish(),
    ...(tokenizer && { tokenizer }),
    ...(chatTemplate && { chatTemplate }),
    ...(input.image && { image: input.image }),
    ...(input.trainedExamples !== undefined && { trainedExamples: input.trainedExamples }),
  };
  const manifest = { ...contents, id: await packageId(contents), family: await familyId(contents) };
  const encoder = new TextEncoder();
  if (input.card !== undefined) await sink.write(CARD_FILE, encoder.encode(input.card));
  if (input.license !== undefined) await sink.write(LICENSE_FILE, encoder.encode(input.license));
  await sink.write(MANIFEST_FILE, await encodeManifest(manifest));
  return manifest;
}

/** Bytes of the shards that tensors of these sizes fill, in their order. */
export function shardSizes(tensors: readonly { readonly bytes: number }[]): number[] {
  const total = tensors.reduce((end, { bytes }) => Math.ceil(end / TENSOR_ALIGN) * TENSOR_ALIGN + bytes, 0);
  return Array.from({ length: Math.ceil(total / SHARD_BYTES) }, (_, i) =>
    Math.min(SHARD_BYTES, total - i * SHARD_BYTES),
  );
}

/** Cuts a stream of bytes into shard-000.bin, shard-001.bin … */
class ShardWriter {
  readonly #sink: PackageSink;
  readonly #buffer: Uint8Array;
  readonly #entries: FileEntry[] = [];
  #filled = 0;

  constructor(sink: PackageSink, shardBytes: number) {
    if (shardBytes % TENSOR_ALIGN !== 0 || !(shardBytes > 0 && shardBytes <= SHARD_BYTES)) {
      throw new PackageError(
        `shards of ${shardBytes} bytes: must be a multiple of ${TENSOR_ALIGN} up to ${SHARD_BYTES}`,
      );
    }
    this.#sink = sink;
    this.#buffer = new Uint8Array(shardBytes);
  }

  /** Appends at the next aligned byte, which it returns, counted over all shards. */
  async append(bytes: Uint8Array): Promise<number> {
    // A shard is a multiple of the alignment, so the padding never crosses into the next one.
    const aligned = Math.ceil(this.#filled / TENSOR_ALIGN) * TENSOR_ALIGN;
    this.#buffer.fill(0, this.#filled, aligned);
    this.#filled = aligned;
    const offset = this.#entries.length * this.#buffer.length + this.#filled;
    for (let from = 0; from < bytes.byteLength; ) {
      if (this.#filled === this.#buffer.length) await this.#flush();
      const piece = bytes.subarray(from, from + this.#buffer.length - this.#filled);
      this.#buffer.set(piece, this.#filled);
      this.#filled += piece.byteLength;
      from += piece.byteLength;
    }
    return offset;
  }

  async finish(): Promise<readonly FileEntry[]> {
    if (this.#filled > 0) await this.#flush();
    return this.#entries;
  }

  async #flush(): Promise<void> {
    const file = `shard-${String(this.#entries.length).padStart(3, "0")}.bin`;
    this.#entries.push(await writeFile(this.#sink, file, this.#buffer.subarray(0, this.#filled)));
    this.#filled = 0;
  }
}

async function writeFile(sink: PackageSink, file: string, bytes: Uint8Array): Promise<FileEntry> {
  await sink.write(file, bytes);
  return { file, bytes: bytes.byteLength, sha256: await sha256(bytes) };
}
