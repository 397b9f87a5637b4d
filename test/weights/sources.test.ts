import { describe, expect, test } from "vitest";
import { assetsSource } from "../../weights/assets.ts";
import { PackageError } from "../../weights/errors.ts";
import { httpSource } from "../../weights/http.ts";
import { PackageLoad, readManifest, readVerified } from "../../weights/loader.ts";
import { MANIFEST_BYTES } from "../../weights/manifest.ts";
import type { MemoryPackage } from "../../weights/memory.ts";
import { r2Source } from "../../weights/r2.ts";
import type { PackageSource } from "../../weights/source.ts";
import { Collector, smallPackage } from "./fixtures.ts";

const BASE = "https://host/weights/small@0123456789ab";

/** A server of the package's files under BASE. */
function server(memory: MemoryPackage) {
  return async (url: string, { signal }: { signal?: AbortSignal }): Promise<Response> => {
    signal?.throwIfAborted();
    if (!url.startsWith(`${BASE}/`)) return new Response("elsewhere", { status: 500 });
    const bytes = memory.files.get(url.slice(BASE.length + 1));
    return bytes === undefined
      ? new Response("not here", { status: 404 })
      : new Response(bytes as Uint8Array<ArrayBuffer>);
  };
}

const kinds: { kind: string; source: (memory: MemoryPackage) => PackageSource }[] = [
  { kind: "http", source: (memory) => httpSource(BASE, server(memory)) },
  { kind: "http with a slash", source: (memory) => httpSource(`${BASE}/`, server(memory)) },
  { kind: "assets", source: (memory) => assetsSource({ fetch: server(memory) }, BASE) },
  {
    kind: "r2",
    source: ({ files }) =>
      r2Source(
        {
          get: async (key) => {
            const bytes = key.startsWith("models/small/") ? files.get(key.slice("models/small/".length)) : undefined;
            return bytes === undefined
              ? null
              : { body: new Response(bytes as Uint8Array<ArrayBuffer>).body as ReadableStream };
          },
        },
        "models/small",
      ),
  },
  { kind: "memory", source: (memory) => memory },
];

describe.each(kinds)("$kind", ({ source }) => {
  test("loads the package", async () => {
    const memory = await smallPackage();
    const from = source(memory);
    const manifest = await readManifest(from);
    const [seen, expected] = [new Collector(), new Collector()];
    for await (const _ of new PackageLoad(manifest, seen).lead(from));
    for await (const _ of new PackageLoad(manifest, expected).lead(memory));
    expect(seen.tensors).toEqual(expected.tensors);
  });

  test("names a file that is missing", async () => {
    const opening = source(await smallPackage()).open("shard-009.bin");
    await expect(opening).rejects.toThrow(PackageError);
    await expect(opening).rejects.toThrow(/shard-009\.bin/);
  });

  test("ends with the signal's reason", async () => {
    const reason = new Error("client left");
    await expect(source(await smallPackage()).open("shard-000.bin", AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});

describe("a server's other answers", () => {
  test.each([
    {
      title: "its start page",
      answer: () => new Response("<html>", { headers: { "content-type": "text/html; charset=utf-8" } }),
      message: /status 200 with an HTML page; check that the package's files are deployed/,
    },
    { title: "an error", answer: () => new Response("", { status: 503 }), message: /m.msgpack: got status 503/ },
    { title: "no body", answer: () => new Response(null, { status: 200 }), message: /no body/ },
    {
      title: "nothing",
      answer: () => {
        throw new TypeError("fetch failed");
      },
      message: /m.msgpack: cannot be fetched \(fetch failed\)/,
    },
  ])("$title", async ({ answer, message }) => {
    const opening = httpSource(BASE, async () => answer()).open("m.msgpack");
    await expect(opening).rejects.toThrow(PackageError);
    await expect(opening).rejects.toThrow(message);
  });

  test("a manifest without end is cut off, and its stream cancelled", async () => {
    let cancelled = false;
    let given = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        given += 65536;
        controller.enqueue(new Uint8Array(65536));
      },
      cancel() {
        cancelled = true;
      },
    });
    const source = { description: "endless", open: async () => endless };
    await expect(readManifest(source)).rejects.toThrow(/longer than 1048576 bytes/);
    expect(cancelled).toBe(true);
    expect(given).toBeLessThan(MANIFEST_BYTES + 4 * 65536);
  });
});

describe("readVerified", () => {
  test.each([
    {
      title: "one bit changed",
      change: (b: Uint8Array) => b.map((v, i) => (i === 5 ? v ^ 1 : v)),
      message: /sha256 is [0-9a-f]{64}, the manifest says/,
    },
    {
      title: "cut off",
      change: (b: Uint8Array) => b.subarray(0, 7),
      message: /truncated: got 7 bytes, the manifest says 12/,
    },
    {
      title: "longer",
      change: (b: Uint8Array) => Uint8Array.of(...b, 1, 2),
      message: /too long: got at least 13 bytes, the manifest says 12/,
    },
    { title: "empty", change: () => new Uint8Array(0), message: /truncated: got 0 bytes|no body/ },
  ])("refuses a tokenizer with $title", async ({ change, message }) => {
    const memory = await smallPackage();
    const { tokenizer } = await readManifest(memory);
    if (tokenizer === undefined) throw new Error("no tokenizer");
    memory.files.set("tokenizer.json", change(memory.files.get("tokenizer.json") as Uint8Array));
    const reading = readVerified(memory, tokenizer);
    await expect(reading).rejects.toThrow(PackageError);
    await expect(reading).rejects.toThrow(message);
  });
});
