import { beforeEach, describe, expect, test, vi } from "vitest";
import { LeadershipLost } from "../../weights/errors.ts";
import { PackageLoad } from "../../weights/loader.ts";
import type { Manifest } from "../../weights/manifest.ts";
import type { MemoryPackage } from "../../weights/memory.ts";
import type { PackageSource } from "../../weights/source.ts";
import { Collector, StallingSource, settle } from "./fixtures.ts";
import { drain, RecordingSource, SHARDS, smallLoad } from "./load-fixtures.ts";

let memory: MemoryPackage;
let manifest: Manifest;
let whole: Collector;
let collector: Collector;
let load: PackageLoad;

beforeEach(async () => {
  ({ memory, manifest, whole, collector, load } = await smallLoad());
});

describe("taking over", () => {
  test("after an abort in the middle of a shard: what is verified is not read again, open streams are cancelled", async () => {
    const stalling = new StallingSource(memory.files, { "shard-002.bin": 100 });
    const abort = new AbortController();
    const leading = drain(load.lead(stalling, { signal: abort.signal }));
    await settle();
    expect([load.shardsDone, load.led]).toEqual([2, true]);
    abort.abort(new Error("client left"));
    expect(load.led).toBe(false);
    await expect(leading).rejects.toThrow("client left");
    await settle();
    expect(stalling.cancelled.sort()).toEqual(["shard-002.bin", "shard-003.bin"]);
    expect(load.shardsDone).toBe(2);

    const source = new RecordingSource(memory);
    expect(await drain(load.lead(source))).toEqual([2, 3, 4]);
    expect(source.opened).toEqual(SHARDS.slice(2));
    expect(collector.tensors).toEqual(whole.tensors);
  });

  test("after return() between shards", async () => {
    const stalling = new StallingSource(memory.files, { "shard-001.bin": 0 });
    for await (const _ of load.lead(stalling)) break;
    await settle();
    expect(stalling.cancelled.sort()).toEqual(["shard-001.bin", "shard-002.bin"]);
    expect(load.led).toBe(false);
    expect(await drain(load.lead(memory))).toEqual([1, 2, 3, 4]);
    expect(collector.tensors).toEqual(whole.tensors);
  });

  test("after an abort while nobody resumes the generator", async () => {
    const abort = new AbortController();
    const stalling = new StallingSource(memory.files, { "shard-001.bin": 0 });
    const forgotten = load.lead(stalling, { signal: abort.signal });
    await forgotten.next();
    abort.abort(new Error("client left"));
    await settle();
    expect(stalling.cancelled.sort()).toEqual(["shard-001.bin", "shard-002.bin"]);
    expect(await drain(load.lead(memory))).toEqual([1, 2, 3, 4]);
    await expect(forgotten.next()).rejects.toThrow("client left");
    expect(collector.tensors).toEqual(whole.tensors);
  });

  test("after an abort while a source that ignores signals opens, whose late stream is cancelled", async () => {
    const abort = new AbortController();
    let cancelled = false;
    let answer = (_: ReadableStream<Uint8Array>): void => {};
    const source: PackageSource = {
      description: "deaf",
      open: () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    };
    const leading = drain(load.lead(source, { signal: abort.signal }));
    await settle();
    abort.abort(new Error("client left"));
    await expect(leading).rejects.toThrow("client left");
    answer(
      new ReadableStream({
        cancel() {
          cancelled = true;
        },
      }),
    );
    await settle();
    expect(cancelled).toBe(true);
  });

  test("an aborted signal leads nothing and leaves no leader behind", async () => {
    const source = new RecordingSource(memory);
    await expect(load.lead(source, { signal: AbortSignal.abort(new Error("gone")) }).next()).rejects.toThrow("gone");
    expect([source.opened, load.led]).toEqual([[], false]);
  });
});

describe("an abandoned leader", () => {
  test("that hangs in a read gives no beats, and throws without applying when it wakes", async () => {
    const stalling = new StallingSource(memory.files, { "shard-001.bin": 10 });
    const zombie = drain(load.lead(stalling));
    zombie.catch(() => {});
    await settle();
    const beats = load.beats;
    await settle();
    expect(load.beats).toBe(beats);

    load.abandon();
    expect(load.led).toBe(false);
    const heir = load.lead(memory);
    await heir.next();
    await settle(); // what it has on its way
    expect(load.beats).toBeGreaterThan(beats);
    const before = [load.beats, [...collector.pieces]];
    stalling.release();
    await expect(zombie).rejects.toThrow(LeadershipLost);
    expect([load.beats, collector.pieces]).toEqual(before);
    expect(load.led).toBe(true);
    expect(await drain(heir)).toEqual([2, 3, 4]);
    expect(collector.tensors).toEqual(whole.tensors);
  });

  test("that reads on writes nothing into its heir's buffer", async () => {
    const garbage = new Map<string, Uint8Array>(SHARDS.map((file) => [file, new Uint8Array(1024).fill(0xee)]));
    garbage.set("shard-000.bin", memory.files.get("shard-000.bin") as Uint8Array);
    const slow = new StallingSource(garbage, { "shard-001.bin": 10 });
    const zombie = drain(load.lead(slow));
    zombie.catch(() => {});
    await settle();
    load.abandon();
    const good = new StallingSource(memory.files, { "shard-001.bin": 1000 });
    const heir = drain(load.lead(good));
    await settle();
    slow.release();
    await expect(zombie).rejects.toThrow(LeadershipLost);
    good.release();
    expect(await heir).toEqual([1, 2, 3, 4]);
    expect(collector.tensors).toEqual(whole.tensors);
  });

  test("that hangs in the hash applies nothing when it wakes, whether the heir has passed it or not", async () => {
    for (const heirFirst of [true, false]) {
      collector = new Collector();
      load = new PackageLoad(manifest, collector);
      let wake = (): void => {};
      const digest = vi.spyOn(crypto.subtle, "digest");
      digest.mockImplementationOnce(async (_, data) => {
        const copy = new Uint8Array(data as Uint8Array);
        digest.mockRestore();
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        return await crypto.subtle.digest("SHA-256", copy);
      });
      const zombie = load.lead(memory).next();
      zombie.catch(() => {});
      await settle();
      load.abandon();
      const heir = load.lead(memory);
      if (heirFirst) await heir.next();
      const pieces = [...collector.pieces];
      wake();
      await expect(zombie).rejects.toThrow(LeadershipLost);
      expect(collector.pieces).toEqual(pieces);
      await drain(heir);
      expect(collector.tensors).toEqual(whole.tensors);
    }
  });

  test("that was between shards throws when it is resumed, and takes nothing from its heir", async () => {
    const zombie = load.lead(memory);
    await zombie.next();
    load.abandon();
    const heir = load.lead(memory);
    await heir.next();
    await expect(zombie.next()).rejects.toThrow(LeadershipLost);
    await expect(load.lead(memory).next()).rejects.toThrow(/already being loaded/);
    expect(await drain(heir)).toEqual([2, 3, 4]);
    expect(collector.tensors).toEqual(whole.tensors);
  });

  test("may be its own heir", async () => {
    const zombie = load.lead(memory);
    await zombie.next();
    load.abandon();
    await zombie.return();
    expect(await drain(load.lead(memory))).toEqual([1, 2, 3, 4]);
  });

  test("keeps being believed while it says that it computes", () => {
    load.beat();
    expect(load.beats).toBe(1);
  });
});
