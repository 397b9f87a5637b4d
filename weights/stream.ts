/** Reading a stream of known length into memory that is kept. */
import { PackageError } from "./errors.ts";

/** Fewest bytes asked of a BYOB read at a time: in workerd every read is a round trip, and assets come 64 KiB by 64 KiB otherwise. */
const READ_BYTES = 1024 * 1024;

/**
 * A buffer that is lent to BYOB reads: each takes the memory away from the ArrayBuffer object and gives it back as another one.
 * A read that never ends well keeps it.
 */
export class Staging {
  buffer: ArrayBuffer;

  constructor(bytes: number) {
    this.buffer = new ArrayBuffer(bytes);
  }
}

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** called after every chunk; what it throws ends the reading. */
  readonly onChunk?: (() => void) | undefined;
}

/**
 * Reads a whole stream that must be `bytes` long, and cancels it when that fails.
 * @param staging with room for at least one byte more, which shows whether the stream goes on
 * @returns a view of the staging buffer, valid until its next use
 * @throws PackageError with both numbers when the stream is shorter or longer, or breaks; the signal's reason when aborted
 */
export async function readWhole(
  stream: ReadableStream<Uint8Array>,
  bytes: number,
  staging: Staging,
  what: string,
  { signal, onChunk }: ReadOptions = {},
): Promise<Uint8Array> {
  const reader = byobReader(stream) ?? defaultReader(stream);
  let filled = 0;
  try {
    while (filled <= bytes) {
      let chunk: Uint8Array;
      try {
        chunk = await abortable(reader.read(staging.buffer, filled, bytes + 1 - filled), signal);
      } catch (cause) {
        signal?.throwIfAborted();
        throw new PackageError(
          `${what}: the stream broke after ${filled} of ${bytes} bytes (${(cause as Error).message}); try again`,
          { cause },
        );
      }
      if (reader.lends) staging.buffer = chunk.buffer as ArrayBuffer;
      else new Uint8Array(staging.buffer).set(chunk.subarray(0, bytes + 1 - filled), filled);
      if (chunk.byteLength === 0) break;
      filled += chunk.byteLength;
      onChunk?.();
    }
    if (filled !== bytes) {
      const seen = filled < bytes ? `truncated: got ${filled}` : `too long: got at least ${filled}`;
      throw new PackageError(`${what}: ${seen} bytes, the manifest says ${bytes}; upload or convert the package again`);
    }
    return new Uint8Array(staging.buffer, 0, bytes);
  } catch (error) {
    reader.cancel(error);
    throw error;
  } finally {
    reader.release();
  }
}

/**
 * Reads a stream of unknown length that may hold at most `limit` bytes, and cancels it when that fails.
 * @throws PackageError when it is longer or breaks; the signal's reason when aborted
 */
export async function readLimited(
  stream: ReadableStream<Uint8Array>,
  limit: number,
  what: string,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const { value: chunk } = await abortable(reader.read(), signal);
      if (chunk === undefined) break;
      chunks.push(chunk);
      size += chunk.byteLength;
      if (size > limit) {
        throw new PackageError(
          `${what}: longer than ${limit} bytes, the most such a file may have; is it the right file?`,
        );
      }
    }
  } catch (error) {
    void reader.cancel(error).catch(() => {});
    signal?.throwIfAborted();
    if (error instanceof PackageError) throw error;
    throw new PackageError(`${what}: the stream broke after ${size} bytes (${(error as Error).message}); try again`, {
      cause: error,
    });
  } finally {
    release(reader);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/** One of the two kinds of reader. */
interface ChunkReader {
  /** whether chunks lie in the buffer that was lent, at their place, instead of in memory of their own. */
  readonly lends: boolean;
  /** What comes next, empty at the end of the stream. */
  read(buffer: ArrayBuffer, at: number, room: number): Promise<Uint8Array>;
  cancel(reason: unknown): void;
  release(): void;
}

/** What the platforms' BYOB readers have in common; readAtLeast is workerd's own. */
interface ByobReader {
  read(view: Uint8Array): Promise<{ value?: Uint8Array | undefined }>;
  readAtLeast?(least: number, view: Uint8Array): Promise<{ value?: Uint8Array | undefined }>;
  cancel(reason: unknown): Promise<void>;
  releaseLock(): void;
}

/** undefined when it is not a byte stream. */
function byobReader(stream: ReadableStream<Uint8Array>): ChunkReader | undefined {
  let reader: ByobReader;
  try {
    reader = stream.getReader({ mode: "byob" }) as unknown as ByobReader;
  } catch {
    return undefined;
  }
  return {
    lends: true,
    async read(buffer, at, room) {
      const view = new Uint8Array(buffer, at, room);
      const { value } = await (reader.readAtLeast?.(Math.min(READ_BYTES, room), view) ?? reader.read(view));
      // A stream that ended gives the buffer back in an empty view, one that was cancelled nothing.
      if (value === undefined) throw new Error("it was cancelled");
      return value;
    },
    cancel: (reason) => void reader.cancel(reason).catch(() => {}),
    release: () => release(reader),
  };
}

function defaultReader(stream: ReadableStream<Uint8Array>): ChunkReader {
  const reader = stream.getReader();
  return {
    lends: false,
    async read() {
      for (;;) {
        const { value } = await reader.read();
        if (value === undefined) return new Uint8Array(0);
        if (value.byteLength > 0) return value; // a plain stream may hand out empty chunks in its midst
      }
    },
    cancel: (reason) => void reader.cancel(reason).catch(() => {}),
    release: () => release(reader),
  };
}

function release(reader: { releaseLock(): void }): void {
  try {
    reader.releaseLock();
  } catch {
    // An older platform refuses while a read is pending; the stream is then cancelled, and the lock matters to nobody.
  }
}

/** The promise, or the signal's reason as soon as it is aborted. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  signal.throwIfAborted();
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
