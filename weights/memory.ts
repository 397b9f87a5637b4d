/** A package held in memory: for tests, and for running a checkpoint without writing files. */
import { PackageError } from "./errors.ts";
import type { PackageSink, PackageSource } from "./source.ts";

/**
 * @example
 * const memory = new MemoryPackage();
 * await buildPackage(input, memory);
 * const manifest = await readManifest(memory);
 */
export class MemoryPackage implements PackageSource, PackageSink {
  readonly description: string;
  /** by file name. */
  readonly files = new Map<string, Uint8Array>();

  constructor(description = "memory") {
    this.description = description;
  }

  async open(file: string, signal?: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    signal?.throwIfAborted();
    const bytes = this.files.get(file);
    if (bytes === undefined) {
      throw new PackageError(`${this.description}: no file ${file}; it holds ${[...this.files.keys()].join(", ")}`);
    }
    return byteStream(bytes);
  }

  async write(file: string, bytes: Uint8Array): Promise<void> {
    this.files.set(file, new Uint8Array(bytes));
  }

  async commit(): Promise<void> {}

  async discard(): Promise<void> {
    this.files.clear();
  }
}

/** A byte stream over a copy of the bytes. */
export function byteStream(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new Response(bytes as Uint8Array<ArrayBuffer>).body as ReadableStream<Uint8Array>;
}
