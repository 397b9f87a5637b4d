/** Where a package's files come from: the ASSETS binding, an R2 bucket, a folder, the network, memory. */
export interface PackageSource {
  /** for messages, such as "folder weights/models/x". */
  readonly description: string;
  /**
   * The bytes of one file of the package (manifest.msgpack, shard-000.bin, tokenizer.json …), as a byte stream where the platform
   * gives one.
   * @throws PackageError when it is not there or cannot be fetched, the signal's reason when aborted
   */
  open(file: string, signal?: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}

/** The same files, with what `open` throws as `told` has it. */
export function withErrors(source: PackageSource, told: (error: unknown) => unknown): PackageSource {
  return {
    description: source.description,
    async open(file, signal) {
      try {
        return await source.open(file, signal);
      } catch (error) {
        throw told(error);
      }
    },
  };
}

/** Where a package is written to. Nothing of it is visible before `commit`. */
export interface PackageSink {
  /** for messages. */
  readonly description: string;
  /** Writes one whole file. The bytes may be reused once the promise is settled. */
  write(file: string, bytes: Uint8Array): Promise<void>;
  /** Makes the package visible. */
  commit(): Promise<void>;
  /** Drops what was written. */
  discard(): Promise<void>;
}
