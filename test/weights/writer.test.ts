import { describe, expect, test } from "vitest";
import { PackageError } from "../../weights/errors.ts";
import { sha256 } from "../../weights/hash.ts";
import { PackageLoad, readManifest, readVerified } from "../../weights/loader.ts";
import { MANIFEST_FILE, SHARD_BYTES } from "../../weights/manifest.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import { decodeTensor, encodeTensor } from "../../weights/quantize.ts";
import type { PackageSource } from "../../weights/source.ts";
import { buildPackage, type PackageInput, type TensorInput } from "../../weights/writer.ts";
import { Collector, smallInput, smallPackage, tensor } from "./fixtures.ts";

async function roundTrip(source: PackageSource, tensors: Iterable<TensorInput>): Promise<void> {
  const manifest = await readManifest(source);
  const collector = new Collector();
  const load = new PackageLoad(manifest, collector);
  for await (const { shard, bytes } of load.lead(source)) expect(manifest.shards[shard]?.bytes).toBe(bytes);
  for (const { name, shape, encoding, data } of tensors) {
    expect(collector.bytes(name)).toEqual(new Uint8Array(encodeTensor(name, shape, data, encoding)));
  }
}

describe("a package", () => {
  test("gives back every tensor's bytes, over shard borders", async () => {
    const memory = await smallPackage();
    expect([...memory.files.keys()]).toEqual([
      "shard-000.bin",
      "shard-001.bin",
      "shard-002.bin",
      "shard-003.bin",
      "tokenizer.json",
      "shard-004.bin",
      MANIFEST_FILE,
    ]);
    await roundTrip(memory, smallInput().tensors as TensorInput[]);
    const manifest = await readManifest(memory);
    expect(manifest.tensors.map((t) => t.offset)).toEqual([0, 144, 3408]);
    expect(manifest.shards.map((s) => s.bytes)).toEqual([1024, 1024, 1024, 1024, 236]);
    for (const { file, sha256: hash } of manifest.shards) {
      expect(await sha256(memory.files.get(file) as Uint8Array)).toBe(hash);
    }
    const { tokenizer } = manifest;
    if (tokenizer === undefined) throw new Error("no tokenizer");
    expect(new TextDecoder().decode(await readVerified(memory, tokenizer))).toBe('{"model":{}}');
  });

  test("may hold a chat template, whose bytes are checked", async () => {
    const chatTemplate = new TextEncoder().encode("{{ messages }}");
    const memory = await smallPackage({ chatTemplate });
    const { chatTemplate: entry } = await readManifest(memory);
    expect(entry).toMatchObject({ file: "chat_template.jinja", bytes: 14 });
    expect(await readVerified(memory, entry!)).toEqual(chatTemplate);
    memory.files.set("chat_template.jinja", new TextEncoder().encode("{{ messagez }}"));
    await expect(readVerified(memory, entry!)).rejects.toThrow(PackageError);
  });

  test("of f32 matrices decodes to the very values", async () => {
    const memory = await smallPackage({ quantization: "f32", tensors: [tensor("a", [5, 7], "f32")] });
    const collector = new Collector();
    const manifest = await readManifest(memory);
    for await (const _ of new PackageLoad(manifest, collector).lead(memory));
    expect(decodeTensor([5, 7], "f32", collector.bytes("a"))).toEqual(tensor("a", [5, 7]).data);
  });

  test("is cut at 8 MiB, from a generator whose tensors share one array", async () => {
    const data = new Float32Array(1 << 20);
    async function* tensors(): AsyncGenerator<TensorInput> {
      for (let i = 0; i < 5; i++) yield { name: `t${i}`, shape: [1 << 20], encoding: "f32", data: data.fill(i) };
    }
    const memory = await smallPackage({ tensors: tensors(), shardBytes: undefined });
    const { shards } = await readManifest(memory);
    expect(shards.map((s) => s.bytes)).toEqual([SHARD_BYTES, SHARD_BYTES, SHARD_BYTES / 2]);
    const last = memory.files.get("shard-002.bin") as Uint8Array;
    expect(new Float32Array(last.buffer, 0, 4)).toEqual(Float32Array.of(4, 4, 4, 4));
  });

  test("whose tensors fill shards exactly is loaded in whole pieces", async () => {
    const tensors = [tensor("a", [256]), tensor("b", [512], "f32", 2), tensor("c", [4], "f32", 3)];
    const memory = await smallPackage({ tensors });
    await roundTrip(memory, tensors);
    expect((await readManifest(memory)).shards.map((s) => s.bytes)).toEqual([1024, 1024, 1024, 16]);
  });

  test("is padded with zeros, in shards after the first too", async () => {
    const tensors = [tensor("a", [260]), tensor("b", [1]), tensor("c", [4])];
    const memory = await smallPackage({ tensors });
    const second = memory.files.get("shard-001.bin") as Uint8Array;
    expect(second.length).toBe(48);
    expect([...second.subarray(20, 32)]).toEqual(new Array(12).fill(0));
    await roundTrip(memory, tensors);
  });

  test("is the same bytes when it is made twice", async () => {
    expect((await smallPackage()).files).toEqual((await smallPackage()).files);
  });

  test("tells of each tensor as it is written", async () => {
    const seen: [string, number][] = [];
    await buildPackage(smallInput(), new MemoryPackage(), ({ name }, bytes) => seen.push([name, bytes.length]));
    expect(seen).toEqual([
      ["scale", 132],
      ["embed", 3264],
      ["out", 924],
    ]);
  });

  test("holds card and licence", async () => {
    const { files } = await smallPackage({ card: "# é", license: "Apache-2.0" });
    expect(new TextDecoder().decode(files.get("README.md"))).toBe("# é");
    expect(new TextDecoder().decode(files.get("LICENSE"))).toBe("Apache-2.0");
  });
});

describe("what cannot be in a package is refused, and the sink discarded", () => {
  const bad = tensor("bad", [4]);
  bad.data[2] = Number.NaN;
  const cases: { title: string; changes: Partial<PackageInput>; message: RegExp }[] = [
    { title: "a name with a slash", changes: { name: "a/b" }, message: /name is "a\/b"/ },
    { title: "no tensors", changes: { tensors: [] }, message: /no tensors; was the checkpoint read/ },
    { title: "a NaN", changes: { tensors: [tensor("ok", [4000]), bad] }, message: /tensor bad \(4\): value 2 is NaN/ },
    {
      title: "the same name twice",
      changes: { tensors: [tensor("a", [4]), tensor("a", [4])] },
      message: /a is listed twice/,
    },
    {
      title: "data that does not fit",
      changes: { tensors: [{ ...tensor("a", [4]), shape: [5] }] },
      message: /needs 5 values/,
    },
    { title: "q8 in an f32 package", changes: { quantization: "f32" }, message: /encoding is "q8", must be f32/ },
    {
      title: "a tensor of size 0",
      changes: { tensors: [tensor("a", [0]), tensor("b", [1])] },
      message: /shape\[0\] is 0/,
    },
    { title: "an empty tokenizer", changes: { tokenizer: new Uint8Array(0) }, message: /tokenizer: bytes is 0/ },
    {
      title: "an empty chat template",
      changes: { chatTemplate: new Uint8Array(0) },
      message: /chat template of 0 bytes/,
    },
    { title: "shards of an odd size", changes: { shardBytes: 1000 }, message: /must be a multiple of 16/ },
    { title: "shards over 8 MiB", changes: { shardBytes: 2 * SHARD_BYTES }, message: /up to 8388608/ },
  ];
  test.each(cases)("$title", async ({ changes, message }) => {
    const memory = new MemoryPackage();
    const building = buildPackage(smallInput(changes), memory);
    await expect(building).rejects.toThrow(PackageError);
    await expect(building).rejects.toThrow(message);
    expect(memory.files.size).toBe(0);
  });
});
