import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildAssets } from "../../scripts/build-assets.ts";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";
import { folderSink } from "../../weights/node/folder.ts";
import { INDEX_FILE } from "../../worker/edge/models/index-file.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { tinyCheckpoint } from "../support/checkpoints.ts";
import { inContextCheckpoint } from "../support/in-context.ts";
import { byteTokenizer, CHAT_TEMPLATE, chatTokenizer } from "../support/tokenizers.ts";
import { writeHollowPackage } from "./fixtures/hollow-package.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** What the edge project runs before its tests. */
export default async function setup(): Promise<void> {
  await buildTestAssets(join(root, "dist/test-models"), join(root, "dist/test-assets"));
}

/**
 * Builds the packages that the edge tests are served: tiny ones, a slow one, and some that are broken. Folders' names give the order of
 * the index, whose first language model is the default.
 */
export async function buildTestAssets(packages: string, assets: string): Promise<void> {
  await rm(packages, { recursive: true, force: true });
  await rm(assets, { recursive: true, force: true });
  await mkdir(packages, { recursive: true });
  const sink = (folder: string): ReturnType<typeof folderSink> => folderSink(join(packages, folder));
  const tokenizer = byteTokenizer();
  // Heads of their own: with tied ones a random model repeats itself.
  const tiny = { ...tinyCheckpoint({ dim: 64, layers: 3, dtRank: 4, vocab: 257, tied: false, seed: 7 }), tokenizer };
  await convertCheckpoint(tiny, { name: "tiny", quantization: "f32" }, await sink("00-f32"));
  await convertCheckpoint(tiny, { name: "tiny-q8", quantization: "q8" }, await sink("01-q8"));
  const other = { ...tinyCheckpoint({ vocab: 257, tied: false, seed: 2 }), tokenizer };
  await convertCheckpoint(other, { name: "other", quantization: "f32" }, await sink("02-other"));
  // 15 MB in two shards, some 4 million multiply-adds a token.
  const large = { dim: 256, layers: 9, dtRank: 16, vocab: 257, tied: false, seed: 3 };
  const slow = { ...tinyCheckpoint(large), tokenizer };
  await convertCheckpoint(slow, { name: "slow", quantization: "f32" }, await sink("03-slow"));

  const chat = tinyCheckpoint({ dim: 64, layers: 3, dtRank: 4, vocab: 261, tied: false, seed: 9 });
  const chatTemplate = new TextEncoder().encode(CHAT_TEMPLATE);
  const chatting = { ...chat, tokenizer: chatTokenizer(), chatTemplate };
  await convertCheckpoint(chatting, { name: "chat", quantization: "f32" }, await sink("04-chat"));

  for (const family of ["mamba", "mambaformer"] as const) {
    const golden = await openCheckpoint(join(root, `test/golden/icl-${family}`));
    await convertCheckpoint(golden, { name: `icl-${family}`, quantization: "f32" }, await sink(`05-icl-${family}`));
  }
  const short = inContextCheckpoint("standard-hybrid", { points: 10 });
  Object.assign(short.config, { trained_examples: 3 });
  await convertCheckpoint(short, { name: "icl-short", quantization: "f32" }, await sink("06-icl-short"));
  const { config, tensors } = inContextCheckpoint("gpt2", { outputs: 5, points: 10, layers: 1 });
  const retrieval = { config: { ...config, interleave: false }, tensors };
  await convertCheckpoint(retrieval, { name: "icl-vectors", quantization: "f32" }, await sink("04-icl-vectors"));
  // 2 kB of keys and values a position.
  const long = inContextCheckpoint("standard-hybrid", { points: 1200, dim: 256, layers: 2 });
  await convertCheckpoint(long, { name: "icl-long", quantization: "f32" }, await sink("06-icl-long"));

  const seeing = await openCheckpoint(join(root, "test/golden/vmamba-v2-tiny"));
  const preprocessor = { size: { shortest_edge: 64 }, crop_size: { height: 48, width: 64 } };
  await convertCheckpoint(
    { ...seeing, preprocessor },
    { name: "vmamba", quantization: "f32" },
    await sink("07-vmamba"),
  );

  // Copies under other names: their manifests are right, their files are damaged below.
  const broken = ["manifest-cut", "shard-cut", "shard-flipped", "shard-missing"] as const;
  const ids = new Map<string, string>();
  for (const name of broken) {
    const { id } = await convertCheckpoint(tiny, { name, quantization: "f32" }, await sink(`10-${name}`));
    ids.set(name, id);
  }
  const index = await buildAssets(packages, assets);
  // Refused before its shards are asked for, so they need not exist.
  const huge = { vocab: 50_280, dim: 768, layers: 24, inner: 1536, state: 16, conv: 4, dtRank: 48 };
  const switches = { eps: 1e-5, tied: true, bias: false, convBias: true };
  const hollow = await writeHollowPackage("too-large", "mamba", { ...huge, ...switches }, join(assets, "weights"));
  await writeFile(join(assets, "weights", INDEX_FILE), JSON.stringify([...index, hollow]));
  await cp(join(root, "test/golden/images"), join(assets, "images"), { recursive: true });

  const damage = async (name: (typeof broken)[number], file: string, change: (bytes: Buffer) => Uint8Array) => {
    const path = join(assets, "weights", ids.get(name)!, file);
    const bytes = change(await readFile(path));
    // Not in place: it is a hard link to the package.
    await rm(path);
    await writeFile(path, bytes);
  };
  await damage("manifest-cut", "manifest.msgpack", (bytes) => bytes.subarray(0, 100));
  await damage("shard-cut", "shard-000.bin", (bytes) => bytes.subarray(0, -100));
  await damage("shard-flipped", "shard-000.bin", (bytes) => {
    bytes[bytes.length >> 1]! ^= 1;
    return bytes;
  });
  await rm(join(assets, "weights", ids.get("shard-missing")!, "shard-000.bin"));
}
