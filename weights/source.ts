/** Where a package's files come from: the ASSETS binding, an R2 bucket, a folder, the network, memory. */
export interface PackageSource {
  /** for messages, such as "folder weights/models/x". */
  readonly description: string;
  /**
   * The bytes of one file of the package (manifest.msgpack, shard-000.bin, tokenizer.json …).
   * @throws PackageError when it is not there
   */
  open(file: string, signal?: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}
