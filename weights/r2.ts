/** A package in an R2 bucket. */
import { PackageError } from "./errors.ts";
import type { PackageSource } from "./source.ts";

/** What of an R2Bucket is used. */
export interface Bucket {
  get(key: string): Promise<{ readonly body: ReadableStream } | null>;
}

/**
 * @param prefix of the package's keys, with or without a closing slash
 * @example r2Source(env.WEIGHTS, "models/mamba-130m")
 */
export function r2Source(bucket: Bucket, prefix: string): PackageSource {
  const folder = prefix === "" ? "" : `${prefix.replace(/\/+$/, "")}/`;
  return {
    description: `R2 ${folder}`,
    async open(file, signal) {
      signal?.throwIfAborted();
      const key = `${folder}${file}`;
      let object: Awaited<ReturnType<Bucket["get"]>>;
      try {
        object = await bucket.get(key);
      } catch (cause) {
        throw new PackageError(`R2 ${key}: cannot be read (${(cause as Error).message}); try again`, { cause });
      }
      if (object === null) {
        throw new PackageError(
          `R2 ${key}: not in the bucket; upload the package's files under ${folder || "its root"}`,
        );
      }
      if (signal?.aborted) await object.body.cancel(signal.reason);
      signal?.throwIfAborted();
      return object.body;
    },
  };
}
