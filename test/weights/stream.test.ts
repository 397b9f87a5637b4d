import { describe, expect, test } from "vitest";
import { PackageError } from "../../weights/errors.ts";
import { readLimited, readWhole, Staging } from "../../weights/stream.ts";
import { makeStream, pieces, values } from "./fixtures.ts";

const DATA = new Uint8Array(values(2500).buffer); // 10,000 bytes
const SIZES = [[1], [1, 7, 3], [4096], [9999, 1], [10_000]];

interface Reader {
  read(view: Uint8Array): Promise<{ value?: Uint8Array; done: boolean }>;
  readAtLeast?(least: number, view: Uint8Array): Promise<{ value?: Uint8Array; done: boolean }>;
}

/** As in workerd: a byte stream's reader with readAtLeast, which answers once so many bytes are there or the stream ends. */
function withReadAtLeast(stream: ReadableStream<Uint8Array>, asked: number[]): ReadableStream<Uint8Array> {
  const getReader = stream.getReader.bind(stream) as unknown as (options: { mode: "byob" }) => Reader;
  return Object.assign(stream, {
    getReader(options: { mode: "byob" }): Reader {
      const reader = getReader(options);
      reader.readAtLeast = async (least, view) => {
        asked.push(least);
        const { byteOffset, byteLength } = view;
        let buffer = view.buffer;
        let filled = 0;
        while (filled < least) {
          const { value } = await reader.read(new Uint8Array(buffer, byteOffset + filled, byteLength - filled));
          if (value === undefined) return { done: true };
          buffer = value.buffer;
          filled += value.byteLength;
          if (value.byteLength === 0) break;
        }
        return { value: new Uint8Array(buffer, byteOffset, filled), done: filled === 0 };
      };
      return reader;
    },
  });
}

const kinds = {
  byte: (bytes: Uint8Array, sizes: readonly number[]) => pieces(bytes, sizes, "bytes"),
  plain: (bytes: Uint8Array, sizes: readonly number[]) => pieces(bytes, sizes),
  "readAtLeast byte": (bytes: Uint8Array, sizes: readonly number[]) =>
    withReadAtLeast(pieces(bytes, sizes, "bytes"), []),
};

describe.each(Object.entries(kinds))("%s streams", (_, open) => {
  test.each(SIZES.map((sizes) => ({ sizes })))("are read whole in pieces of $sizes", async ({ sizes }) => {
    const staging = new Staging(DATA.length + 1);
    let chunks = 0;
    const bytes = await readWhole(open(DATA, sizes), DATA.length, staging, "x", { onChunk: () => chunks++ });
    expect(Buffer.compare(bytes, DATA)).toBe(0);
    expect(bytes.buffer).toBe(staging.buffer);
    expect(chunks).toBeGreaterThan(0);
    // The same buffer serves again, also for something shorter.
    const again = await readWhole(open(DATA.subarray(100, 200), sizes), 100, staging, "x");
    expect([...again]).toEqual([...DATA.subarray(100, 200)]);
    expect(staging.buffer.byteLength).toBe(DATA.length + 1);
  });

  test.each([
    { bytes: 9999, message: /x: too long: got at least 10000 bytes, the manifest says 9999/ },
    { bytes: 10001, message: /x: truncated: got 10000 bytes, the manifest says 10001/ },
  ])("of 10000 bytes are refused for $bytes", async ({ bytes, message }) => {
    for (const sizes of SIZES) {
      const reading = readWhole(open(DATA, sizes), bytes, new Staging(bytes + 1), "x");
      await expect(reading).rejects.toThrow(PackageError);
      await expect(reading).rejects.toThrow(message);
    }
  });
});

test("empty chunks amid a plain stream are not its end", async () => {
  const bytes = await readWhole(pieces(DATA, [0, 5000, 0]), DATA.length, new Staging(DATA.length + 1), "x");
  expect(Buffer.compare(bytes, DATA)).toBe(0);
});

test("readAtLeast is asked for 1 MiB, or for what may still come", async () => {
  const asked: number[] = [];
  const bytes = 2 ** 21 + 5;
  const stream = withReadAtLeast(pieces(new Uint8Array(bytes), [2 ** 20], "bytes"), asked);
  await readWhole(stream, bytes, new Staging(bytes + 1), "x");
  expect(asked).toEqual([2 ** 20, 2 ** 20, 6, 1]);
});

describe.each(["bytes", undefined] as const)("a stream of type %s", (type) => {
  const broken = (cancelled: unknown[], fail: boolean): ReadableStream<Uint8Array> => {
    let pulls = 0;
    return makeStream(type, {
      pull(controller) {
        if (pulls++ === 0) controller.enqueue(new Uint8Array(10));
        else if (fail) controller.error(new Error("connection reset"));
        else return new Promise(() => {});
      },
      cancel: (reason) => void cancelled.push(reason),
    });
  };

  test("that breaks is an error with how far it came", async () => {
    const reading = readWhole(broken([], true), 100, new Staging(101), "shard-000.bin");
    await expect(reading).rejects.toThrow(PackageError);
    await expect(reading).rejects.toThrow(/shard-000.bin: the stream broke after 10 of 100 bytes \(connection reset\)/);
    await expect(readLimited(broken([], true), 100, "m")).rejects.toThrow(/m: the stream broke after 10 bytes/);
  });

  test("that stands still is left when the signal says so, and cancelled", async () => {
    for (const read of [
      (s: ReadableStream<Uint8Array>, signal: AbortSignal) => readWhole(s, 100, new Staging(101), "x", { signal }),
      (s: ReadableStream<Uint8Array>, signal: AbortSignal) => readLimited(s, 100, "x", signal),
    ]) {
      const abort = new AbortController();
      const cancelled: unknown[] = [];
      const reading = read(broken(cancelled, false), abort.signal);
      setTimeout(() => abort.abort(new Error("left")), 5);
      await expect(reading).rejects.toThrow("left");
      expect(cancelled).toEqual([abort.signal.reason]);
    }
  });

  test("is cancelled with what onChunk throws", async () => {
    const cancelled: unknown[] = [];
    const stop = new Error("stop");
    const onChunk = () => {
      throw stop;
    };
    await expect(readWhole(broken(cancelled, false), 100, new Staging(101), "x", { onChunk })).rejects.toBe(stop);
    expect(cancelled).toEqual([stop]);
  });
});
