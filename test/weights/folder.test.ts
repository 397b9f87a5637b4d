import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PackageError } from "../../weights/errors.ts";
import { PackageLoad, readManifest } from "../../weights/loader.ts";
import { folderSink, folderSource } from "../../weights/node/folder.ts";
import { buildPackage } from "../../weights/writer.ts";
import { Collector, smallInput, smallPackage, tensor } from "./fixtures.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "mamba-edge-"));
});
afterEach(() => rm(root, { recursive: true }));

test("a folder holds the same files as memory, and loads the same", async () => {
  const target = join(root, "deep", "small");
  const written = await buildPackage(smallInput(), await folderSink(target));
  const memory = await smallPackage();
  expect((await readdir(target)).sort()).toEqual([...memory.files.keys()].sort());
  for (const [file, bytes] of memory.files) expect(new Uint8Array(await readFile(join(target, file)))).toEqual(bytes);

  const source = folderSource(target);
  expect(await readManifest(source)).toEqual(written);
  const [fromFolder, fromMemory] = [new Collector(), new Collector()];
  for await (const _ of new PackageLoad(written, fromFolder).lead(source));
  for await (const _ of new PackageLoad(written, fromMemory).lead(memory));
  expect(fromFolder.tensors).toEqual(fromMemory.tensors);
  expect(await readdir(join(root, "deep"))).toEqual(["small"]);
});

test("replacing a package drops its files and keeps those that are not a package's", async () => {
  const target = join(root, "small");
  await buildPackage(smallInput({ card: "old", license: "old" }), await folderSink(target));
  await mkdir(join(target, "pictures"));
  await writeFile(join(target, "pictures", "a.png"), "x");
  await buildPackage(
    smallInput({ tensors: [tensor("one", [3])], tokenizer: undefined, card: "new" }),
    await folderSink(target),
  );
  expect((await readdir(target)).sort()).toEqual([
    "LICENSE",
    "README.md",
    "manifest.msgpack",
    "pictures",
    "shard-000.bin",
  ]);
  expect(await readFile(join(target, "README.md"), "utf8")).toBe("new");
  expect(await readFile(join(target, "LICENSE"), "utf8")).toBe("old");
  expect(await readdir(join(target, "pictures"))).toEqual(["a.png"]);
  expect(await readdir(root)).toEqual(["small"]);
});

test("what is no package is not overwritten, neither before nor after the work", async () => {
  const target = join(root, "mine");
  const sink = await folderSink(target);
  await mkdir(target);
  await writeFile(join(target, "thesis.txt"), "years of work");
  await expect(folderSink(target)).rejects.toThrow(/holds thesis.txt and no manifest.msgpack.*choose another/);
  await expect(buildPackage(smallInput(), sink)).rejects.toThrow(PackageError);
  await expect(folderSink(join(target, "thesis.txt"))).rejects.toThrow(PackageError);
  expect(await readdir(target)).toEqual(["thesis.txt"]);
  expect(await readdir(root)).toEqual(["mine"]);
});

test("an empty folder may be written to", async () => {
  await mkdir(join(root, "empty"));
  await buildPackage(smallInput(), await folderSink(join(root, "empty")));
  expect(await readdir(join(root, "empty"))).toContain("manifest.msgpack");
});

test("a failure leaves the old package as it was, and nothing beside it", async () => {
  const target = join(root, "small");
  const before = await buildPackage(smallInput(), await folderSink(target));
  const bad = tensor("bad", [4]);
  bad.data[0] = Number.NaN;
  await expect(
    buildPackage(smallInput({ tensors: [tensor("a", [9000]), bad] }), await folderSink(target)),
  ).rejects.toThrow(/bad/);
  expect(await readManifest(folderSource(target))).toEqual(before);
  expect(await readdir(root)).toEqual(["small"]);
});

test("a missing file is an error that names it", async () => {
  const opening = folderSource(join(root, "gone")).open("manifest.msgpack");
  await expect(opening).rejects.toThrow(PackageError);
  await expect(opening).rejects.toThrow(/gone: manifest.msgpack cannot be read/);
});
