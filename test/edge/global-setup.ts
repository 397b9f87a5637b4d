import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildAssets } from "../../scripts/build-assets.ts";
import { encodeManifest } from "../../weights/codec.ts";
import { packageId } from "../../weights/ids.ts";
import { LAYOUT_VERSION } from "../../weights/layout.ts";
import { readManifest } from "../../weights/loader.ts";
import { MANIFEST_FILE, type Manifest } from "../../weights/manifest.ts";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";
import { folderSink, folderSource } from "../../weights/node/folder.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { tinyCheckpoint } from "../support/checkpoints.ts";
import { byteTokenizer } from "../support/tokenizers.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const packages = join(root, "dist/test-models");
const assets = join(root, "dist/test-assets");

/**
 * Builds the packages that the edge tests are served: tiny ones, one that is slow, and some that are broken.
 * Every broken one is a copy of the tiny one under another name, so that its manifest is right and its files are not.
 */
export default async function setup(): Promise<void> {
  await rm(packages, { recursive: true, force: true });
  await rm(assets, { recursive: true, force: true });
  const tokenizer = byteTokenizer();
  const golden = { ...(await openCheckpoint(join(root, "test/golden/mamba-tiny"))), tokenizer };
  // The order of the folders is the order of the index, and the first is the default.
  await convertCheckpoint(golden, { name: "mamba-tiny", quantization: "f32" }, await sink("00-f32"));
  await convertCheckpoint(golden, { name: "mamba-tiny-q8", quantization: "q8" }, await sink("01-q8"));
  const other = { ...tinyCheckpoint({ vocab: 257, seed: 2 }), tokenizer };
  await convertCheckpoint(other, { name: "other", quantization: "f32" }, await sink("02-other"));
  // 15 MB in two shards, some 4 million multiply-adds a token.
  const slow = { ...tinyCheckpoint({ dim: 256, layers: 9, vocab: 257, dtRank: 16, seed: 3 }), tokenizer };
  await convertCheckpoint(slow, { name: "slow", quantization: "f32" }, await sink("03-slow"));

  for (const name of ["shard-missing", "shard-truncated", "bit-flipped"]) {
    await convertCheckpoint(golden, { name, quantization: "f32" }, await sink(`10-${name}`));
  }
  await tooLarge(join(packages, "00-f32"), join(packages, "11-too-large"));
  await buildAssets(packages, assets).catch(async (error: Error) => {
    throw new Error(`the test packages cannot be built: ${error.message}`, { cause: error });
  });

  await damage("10-shard-missing", async (shard) => rm(shard));
  await damage("10-shard-truncated", async (shard, bytes) => writeFile(shard, bytes.subarray(0, bytes.length - 100)));
  await damage("10-bit-flipped", async (shard, bytes) => {
    bytes[bytes.length >> 1]! ^= 1;
    await writeFile(shard, bytes);
  });
}

function sink(name: string): ReturnType<typeof folderSink> {
  return folderSink(join(packages, name));
}

/** A manifest of a model of 1 GB. Its shards are not there: nobody may ask for them. */
async function tooLarge(from: string, to: string): Promise<void> {
  const { tokenizer } = await readManifest(folderSource(from));
  const shape = [262_144, 1_024];
  const bytes = 4 * 262_144 * 1_024;
  const shards = Array.from({ length: bytes / 2 ** 23 }, (_, i) => ({
    file: `shard-${String(i).padStart(3, "0")}.bin`,
    bytes: 2 ** 23,
    sha256: "0".repeat(64),
  }));
  void tokenizer;
  void shape;
  void shards;
  void to;
}
