import { PackageError } from "./errors.ts";
import { sha256 } from "./hash.ts";
import type { FileEntry } from "./manifest.ts";
import type { PackageSource } from "./source.ts";
import { abortable, readWhole, type Staging } from "./stream.ts";

/** A file on its way. */
export interface Arrival {
  readonly staging: Staging;
  /** its bytes, in `staging`, as they came; the next file is read after them. */
  readonly read: Promise<Uint8Array>;
  /** the same once their hash is known to be the manifest's: the only ones to use. */
  readonly verified: Promise<Uint8Array>;
}

/** Sets a file on its way: it is opened at once, read into `staging` from `turn` on, and hashed while others read or compute. */
export function fetchFile(
  source: PackageSource,
  entry: FileEntry,
  turn: Promise<unknown>,
  staging: Staging,
  { signal, onChunk }: { readonly signal: AbortSignal; readonly onChunk: () => void },
): Arrival {
  const what = `${source.description}: ${entry.file}`;
  const stream = openStream(source, entry.file, signal);
  const read = (async () => {
    try {
      await abortable(turn, signal);
    } catch (error) {
      void stream.then((opened) => opened.cancel()).catch(() => {});
      throw error;
    }
    const opened = await stream;
    onChunk();
    return await readWhole(opened, entry.bytes, staging, what, { signal, onChunk });
  })();
  const verified = (async () => {
    const bytes = await read;
    checkHash(await sha256(bytes), entry, what);
    return bytes;
  })();
  // Heard when their turn comes, if it comes.
  for (const promise of [stream, read, verified]) promise.catch(() => {});
  return { staging, read, verified };
}

/** As source.open, but ends with the signal even where the source does not, and then cancels what is opened too late. */
export async function openStream(
  source: PackageSource,
  file: string,
  signal: AbortSignal | undefined,
): Promise<ReadableStream<Uint8Array>> {
  signal?.throwIfAborted();
  const stream = source.open(file, signal);
  try {
    return await abortable(stream, signal);
  } catch (error) {
    void stream.then((late) => late.cancel()).catch(() => {});
    throw error;
  }
}

/** @throws PackageError */
export function checkHash(hash: string, entry: FileEntry, what: string): void {
  if (hash !== entry.sha256) {
    throw new PackageError(
      `${what}: sha256 is ${hash}, the manifest says ${entry.sha256}: the file is damaged or of another package; upload or convert the package again`,
    );
  }
}
