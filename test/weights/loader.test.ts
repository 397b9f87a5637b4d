import { beforeEach, describe, expect, test, vi } from "vitest";
import { PackageError } from "../../weights/errors.ts";
import { PackageLoad } from "../../weights/loader.ts";
import type { Manifest } from "../../weights/manifest.ts";
import type { MemoryPackage } from "../../weights/memory.ts";
import { type Collector, pieces, StallingSource, settle } from "./fixtures.ts";
import { drain, RecordingSource, SHARDS, smallLoad } from "./load-fixtures.ts";

let memory: MemoryPackage;
let manifest: Manifest;
let whole: Collector;
let collector: Collector;
let load: PackageLoad;

beforeEach(async () => {
  ({ memory, manifest, whole, collector, load } = await smallLoad());
});

describe("leading", () => {
  test("gives the pieces in order, each byte once, and counts", async () => {
    expect([load.done, load.led, load.shardsDone, load.bytesDone, load.beats]).toEqual([false, false, 0, 0, 0]);
    const seen: unknown[] = [];
    for await (const step of load.lead(memory)) {
      seen.push([step, load.shardsDone, load.bytesDone, load.led]);
    }
    expect(seen).toEqual(
      SHARDS.map((file, shard) => {
        const bytes = shard < 4 ? 1024 : 236;
        return [{ shard, file, bytes }, shard + 1, 1024 * shard + bytes, true];
      }),
    );
    expect(collector.pieces).toEqual([
      "scale+0",
      "embed+0",
      "embed+880",
      "embed+1904",
      "embed+2928",
      "out+0",
      "out+688",
    ]);
    expect([load.done, load.led, load.bytesDone]).toEqual([true, false, load.bytesTotal]);
    expect(load.beats).toBeGreaterThanOrEqual(SHARDS.length);
    expect(await drain(load.lead(memory))).toEqual([]);
  });

  test.each([
    { type: "bytes" as const, sizes: [1] },
    { type: undefined, sizes: [1] },
    { type: "bytes" as const, sizes: [3, 500, 17] },
    { type: undefined, sizes: [3, 500, 17] },
  ])("streams of type $type in pieces of $sizes load the same", async ({ type, sizes }) => {
    const open = async (file: string) => pieces(memory.files.get(file) as Uint8Array, sizes, type);
    await drain(load.lead({ description: "slow", open }));
    expect(collector.tensors).toEqual(whole.tensors);
    expect(load.beats).toBeGreaterThan(SHARDS.length * 2);
  });

  test("opens the next two shards, and no further, before it gives one to the caller", async () => {
    const source = new RecordingSource(memory);
    const leader = load.lead(source);
    expect(source.opened).toEqual([]);
    for (const [i] of SHARDS.entries()) {
      await leader.next();
      expect(source.opened).toEqual(SHARDS.slice(0, i + 3));
    }
  });

  test("reads all shards into two buffers", async () => {
    const buffers = vi.spyOn(globalThis, "ArrayBuffer");
    try {
      await drain(
        load.lead({
          ...memory,
          description: "x",
          open: async (f) => pieces(memory.files.get(f) as Uint8Array, [], "bytes"),
        }),
      );
      expect(buffers.mock.calls.filter(([bytes]) => (bytes as number) > 1000)).toEqual([[1025], [1025]]);
    } finally {
      buffers.mockRestore();
    }
  });

  test("a second leader is refused while one leads, and the first goes on", async () => {
    const first = load.lead(memory);
    await first.next();
    const second = load.lead(memory).next();
    await expect(second).rejects.toThrow(PackageError);
    await expect(second).rejects.toThrow(/already being loaded; follow/);
    expect(await drain(first)).toEqual([1, 2, 3, 4]);
    expect(collector.tensors).toEqual(whole.tensors);
  });

  test("a generator that was never started holds nothing", async () => {
    await load.lead(memory).return();
    load.lead(memory);
    expect(await drain(load.lead(memory))).toEqual([0, 1, 2, 3, 4]);
  });
});

describe("a bad shard is an error, nothing of it is applied, and a good one goes on from there", () => {
  const flip = (bytes: Uint8Array, at: number) => bytes.map((byte, i) => (i === at ? byte ^ 0x10 : byte));
  test.each([
    {
      title: "truncated",
      change: (b: Uint8Array) => b.subarray(0, 1000),
      message: /shard-002.bin: truncated: got 1000 bytes, the manifest says 1024/,
    },
    { title: "empty", change: (b: Uint8Array) => b.subarray(0, 0), message: /shard-002.bin/ },
    {
      title: "too long",
      change: (b: Uint8Array) => Uint8Array.of(...b, 0),
      message: /shard-002.bin: too long: got at least 1025 bytes, the manifest says 1024/,
    },
    {
      title: "first bit changed",
      change: (b: Uint8Array) => flip(b, 0),
      message: /shard-002.bin: sha256 is .* damaged or of another package/,
    },
    { title: "last bit changed", change: (b: Uint8Array) => flip(b, 1023), message: /shard-002.bin: sha256/ },
    { title: "another shard", change: () => memory.files.get("shard-001.bin"), message: /shard-002.bin: sha256/ },
    { title: "missing", change: () => undefined, message: /no file shard-002.bin/ },
  ])("$title", async ({ change, message }) => {
    const good = memory.files.get("shard-002.bin") as Uint8Array;
    const bad = change(good);
    if (bad === undefined) memory.files.delete("shard-002.bin");
    else memory.files.set("shard-002.bin", bad);
    const leading = drain(load.lead(memory));
    await expect(leading).rejects.toThrow(PackageError);
    await expect(leading).rejects.toThrow(message);
    expect(collector.pieces).toEqual(["scale+0", "embed+0", "embed+880"]);
    expect([load.shardsDone, load.bytesDone, load.led, load.failure]).toEqual([2, 2048, false, undefined]);

    memory.files.set("shard-002.bin", good);
    const source = new RecordingSource(memory);
    expect(await drain(load.lead(source))).toEqual([2, 3, 4]);
    expect(source.opened).toEqual(SHARDS.slice(2));
    expect(collector.tensors).toEqual(whole.tensors);
  });
});

describe("while the caller computes with one shard", () => {
  /** Digests that wait until they are told to go on; those that have begun, by their bytes. */
  function heldDigests(): { begun: number[]; release(): void; restore(): void } {
    const begun: number[] = [];
    const real = crypto.subtle.digest.bind(crypto.subtle);
    const waiting: (() => void)[] = [];
    const spy = vi.spyOn(crypto.subtle, "digest").mockImplementation(async (algorithm, data) => {
      begun.push((data as Uint8Array).byteLength);
      if (begun.length > 1) await new Promise<void>((resolve) => waiting.push(resolve));
      return await real(algorithm, data);
    });
    return { begun, release: () => waiting.splice(0).forEach((wake) => void wake()), restore: () => spy.mockRestore() };
  }

  test("the next two are read and their hashes begun, and none is applied before its own is known", async () => {
    const digests = heldDigests();
    try {
      const leader = load.lead(memory);
      await leader.next();
      await settle();
      expect(digests.begun).toEqual([1024, 1024, 1024]);
      const second = leader.next();
      await settle();
      expect([load.shardsDone, collector.pieces]).toEqual([1, ["scale+0", "embed+0"]]);
      digests.release();
      await second;
      expect(load.shardsDone).toBe(2);
      await leader.return();
    } finally {
      digests.restore();
    }
  });

  test("the next, altered, is an error in its turn, and nothing of it is applied", async () => {
    const good = memory.files.get("shard-001.bin") as Uint8Array;
    memory.files.set(
      "shard-001.bin",
      good.map((byte, i) => (i === 512 ? byte ^ 1 : byte)),
    );
    const leader = load.lead(memory);
    expect((await leader.next()).value).toMatchObject({ shard: 0 });
    await settle(); // long enough for its hash
    expect([load.shardsDone, load.failure]).toEqual([1, undefined]);
    await expect(leader.next()).rejects.toThrow(/shard-001.bin: sha256 is .* damaged/);
    expect([load.shardsDone, collector.pieces]).toEqual([1, ["scale+0", "embed+0"]]);
    memory.files.set("shard-001.bin", good);
    expect(await drain(load.lead(memory))).toEqual([1, 2, 3, 4]);
    expect(collector.tensors).toEqual(whole.tensors);
  });

  test("a slow next one does not hold it back", async () => {
    const stalling = new StallingSource(memory.files, { "shard-001.bin": 10 });
    const leader = load.lead(stalling);
    expect((await leader.next()).value).toMatchObject({ shard: 0 });
    await leader.return();
    await settle();
    expect(stalling.cancelled.sort()).toEqual(["shard-001.bin", "shard-002.bin"]);
  });
});

test("a sink that throws ends the load for good, because a shard is half applied", async () => {
  const failing = new PackageLoad(manifest, {
    load(name) {
      if (name === "embed") throw new Error("memory is full");
    },
  });
  await expect(drain(failing.lead(memory))).rejects.toThrow(/tensor embed could not be loaded \(memory is full\)/);
  expect([failing.shardsDone, failing.led]).toEqual([0, false]);
  expect(failing.failure).toBeInstanceOf(PackageError);
  await expect(failing.lead(memory).next()).rejects.toBe(failing.failure);
});
