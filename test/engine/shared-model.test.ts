import { describe, expect, test } from "vitest";
import type { PackageSource } from "../../weights/source.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { SharedModel } from "../../worker/engine/shared-model.ts";
import { wasm } from "../support/backends.ts";
import { tinyPackage } from "../support/models.ts";

// 5,000 rows of 640 make the embedding cross the border of the first shard.
const memory = await tinyPackage({ dim: 640, vocab: 5_000, layers: 1, dtRank: 40 });

/** The package with every file's opening recorded, and gates in front of some. */
function source(gates: Record<string, Promise<void>> = {}): PackageSource & { opened: string[] } {
  const opened: string[] = [];
  return {
    description: "test",
    opened,
    async open(file, signal) {
      opened.push(file);
      if (gates[file] !== undefined) {
        const aborted = new Promise<never>((_, reject) =>
          signal?.addEventListener("abort", () => reject(signal.reason as Error)),
        );
        await Promise.race([gates[file], aborted]);
      }
      return memory.open(file, signal);
    },
  };
}

async function answer(shared: SharedModel, from: PackageSource, signal?: AbortSignal): Promise<Float32Array> {
  const lease = await shared.lease(from, { signal });
  try {
    const sequence = new Sequence(lease.model);
    const { logits } = await sequence.feed([0, 1, 2, 3], { logits: true, more: lease.more, signal });
    return logits.slice();
  } finally {
    lease.release();
  }
}

const expected = await answer(new SharedModel(wasm), source());
const gate = (): { opens: Promise<void>; open: () => void } => {
  let open = (): void => {};
  const opens = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opens, open };
};

describe("a model shared by requests", () => {
  test("has more than one shard here", async () => {
    const one = source();
    await answer(new SharedModel(wasm), one);
    expect(one.opened.filter((f) => f.startsWith("shard-")).length).toBeGreaterThan(1);
  });

  test("is loaded once for requests that come together", async () => {
    const shared = new SharedModel(wasm);
    const sources = Array.from({ length: 4 }, () => source());
    const answers = await Promise.all(sources.map((s) => answer(shared, s)));
    for (const a of answers) expect(a).toEqual(expected);
    const opened = sources.flatMap((s) => s.opened);
    expect(new Set(opened).size).toBe(opened.length);
    expect(shared.leases).toBe(0);
  });

  test.each([
    "manifest.msgpack",
    "shard-000.bin",
    "shard-001.bin",
  ])("the second client is served when the first leaves while %s is on its way", async (file) => {
    const shared = new SharedModel(wasm);
    const controller = new AbortController();
    const slow = source({ [file]: gate().opens });
    const first = answer(shared, slow, controller.signal);
    const other = source();
    const second = answer(shared, other);
    while (!slow.opened.includes(file)) await new Promise((wake) => setTimeout(wake, 1));
    await new Promise((wake) => setTimeout(wake, 300)); // the shard before it is verified by then, beside other work too
    controller.abort(new Error("client left"));
    await expect(first).rejects.toThrow("client left");
    expect(await second).toEqual(expected);
    // What the first had verified is not read again.
    if (file === "shard-001.bin") expect(other.opened).not.toContain("shard-000.bin");
    expect(shared.leases).toBe(0);
  });

  test("a load that failed can be tried again", async () => {
    const shared = new SharedModel(wasm);
    const broken: PackageSource = {
      description: "broken",
      open: async (file, signal) => {
        if (file === "shard-001.bin") throw new Error("no such file");
        return memory.open(file, signal);
      },
    };
    await expect(answer(shared, broken)).rejects.toThrow("no such file");
    expect(await answer(shared, source())).toEqual(expected);
  });

  test("a leader that never loads leaves the load to the next by releasing", async () => {
    const shared = new SharedModel(wasm);
    const idle = await shared.lease(source());
    const second = answer(shared, source());
    await new Promise((wake) => setTimeout(wake, 20));
    idle.release();
    idle.release();
    expect(await second).toEqual(expected);
  });

  test("cannot be dropped while it is in use", async () => {
    const shared = new SharedModel(wasm);
    const lease = await shared.leaseLoaded(source());
    expect(shared.loaded).toBe(true);
    expect(() => shared.dispose()).toThrow(/in use by 1/);
    lease.release();
    shared.dispose();
    expect(shared.loaded).toBe(false);
    expect(await answer(shared, source())).toEqual(expected);
  });
});
