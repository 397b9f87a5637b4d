import { existsSync } from "node:fs";
import { copyFile, link, mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inputWidth, outputWidth } from "../kernels/blocks.ts";
import { PackageError } from "../weights/errors.ts";
import { readManifest } from "../weights/loader.ts";
import { MANIFEST_FILE, type Manifest } from "../weights/manifest.ts";
import { folderSource } from "../weights/node/folder.ts";
import { CARD_FILE, LICENSE_FILE } from "../weights/writer.ts";
import { INDEX_FILE, type IndexEntry } from "../worker/edge/models/index-file.ts";
import { interleaves } from "../worker/engine/architectures/in-context.ts";
import { blocksOf, inputOf } from "../worker/engine/architectures/index.ts";
import { mostExamples } from "../worker/engine/in-context.ts";
import { runCommand } from "./lib/cli.ts";

/** The variable of the environment that says which packages are put there: names or ids, with commas between. All where it is not set. */
export const ONLY_MODELS = "ONLY_MODELS";
/** The variable of the environment that says into which folder the assets are built. */
export const ASSETS_DIR = "ASSETS_DIR";
export const DEFAULT_ASSETS = "dist/assets";

const HELP = `Usage: node scripts/build-assets.ts [--models DIR] [--only NAME,NAME] [--out DIR]

Puts every model package below DIR (default weights/models) into the folder of static assets that the Worker serves: weights/<package id>/
with hard links where the disk allows, weights/index.json, and _headers. What is no longer there is removed; other assets are left alone.
It warns of packages that have one name.

  --models DIR   folder of package folders
  --only NAMES   names or ids of the packages that are put there, with commas between (default ${ONLY_MODELS} of the environment, or all)
  --out DIR      folder of static assets (default ${ASSETS_DIR} of the environment, or ${DEFAULT_ASSETS})
  --help
`;

/** More names than these are not for a list that every visitor reads. */
const MAX_CLASSES = 100;

/** Package files are named by their content's hash. The index is not. What the Worker answers itself has such headers from it. */
const HEADERS = `/*
  x-content-type-options: nosniff
  referrer-policy: no-referrer
  strict-transport-security: max-age=31536000
/client.*
  access-control-allow-origin: *
  cross-origin-resource-policy: cross-origin
  cache-control: public, max-age=300
/weights/:package/*
  access-control-allow-origin: *
  cross-origin-resource-policy: cross-origin
  cache-control: public, max-age=31536000, immutable
/weights/${INDEX_FILE}
  access-control-allow-origin: *
  cross-origin-resource-policy: cross-origin
  cache-control: public, max-age=60
`;

/**
 * @param only names or ids of packages; all where it is absent
 * @returns the index, in the order of the folders' names
 * @throws PackageError when one of `only` is not there, or a package is not whole
 */
export async function buildAssets(models: string, out: string, only?: readonly string[]): Promise<IndexEntry[]> {
  const weights = join(out, "weights");
  const found = await chosen(models, only);
  await mkdir(weights, { recursive: true });
  const index: IndexEntry[] = [];
  for (const { folder, manifest } of found) {
    if (index.some((entry) => entry.id === manifest.id)) continue;
    await place(folder, manifest, join(weights, manifest.id));
    index.push(await entryOf(folder, manifest));
  }
  const kept = new Set([INDEX_FILE, ...index.map((entry) => entry.id)]);
  for (const name of await readdir(weights)) {
    if (!kept.has(name)) await rm(join(weights, name), { recursive: true });
  }
  await writeFile(join(weights, INDEX_FILE), `${JSON.stringify(index, null, 2)}\n`);
  await writeFile(join(out, "_headers"), HEADERS);
  return index;
}

/** Where the environment wants the assets. */
export function assetsDirectory(): string {
  return process.env[ASSETS_DIR] || DEFAULT_ASSETS;
}

/** What to say of packages whose name another has too: a name finds the first only. */
export function sharedNames(index: readonly Pick<IndexEntry, "id" | "name">[]): string[] {
  const names = [...new Set(index.map(({ name }) => name))];
  return names.flatMap((name) => {
    const [first, ...others] = index.filter((entry) => entry.name === name).map(({ id }) => id);
    if (others.length === 0) return [];
    return `${others.length + 1} packages are named "${name}": requests for "${name}" get ${first}, ${others.join(" and ")} only by this id; convert one again with --name`;
  });
}

interface Found {
  readonly folder: string;
  readonly manifest: Manifest;
}

async function chosen(models: string, only: readonly string[] | undefined): Promise<Found[]> {
  const found: Found[] = [];
  for (const folder of await packageFolders(models)) {
    found.push({ folder, manifest: await readManifest(folderSource(folder)) });
  }
  if (only === undefined) return found;
  const isNamed = ({ manifest: { id, name } }: Found, wanted: string): boolean => id === wanted || name === wanted;
  const missing = only.filter((wanted) => !found.some((f) => isNamed(f, wanted)));
  if (missing.length > 0 || only.length === 0) {
    const names = found.map(({ manifest }) => manifest.name).join(", ") || "none";
    throw new PackageError(`there is no package ${missing.join(", ") || '""'} in ${models}: there are ${names}`);
  }
  return found.filter((f) => only.some((wanted) => isNamed(f, wanted)));
}

async function packageFolders(models: string): Promise<string[]> {
  const names = existsSync(models) ? (await readdir(models)).sort() : [];
  return names.map((name) => join(models, name)).filter((folder) => existsSync(join(folder, MANIFEST_FILE)));
}

/** The package's files, its card and licence where it has them. @throws PackageError when one is missing or of another size */
async function filesOf(folder: string, manifest: Manifest): Promise<string[]> {
  const { shards, tokenizer, chatTemplate } = manifest;
  const listed = [...shards, tokenizer, chatTemplate].filter((entry) => entry !== undefined);
  for (const { file, bytes } of listed) {
    const seen = (await stat(join(folder, file)).catch(() => undefined))?.size;
    if (seen === bytes) continue;
    const what = seen === undefined ? "is missing" : `has ${seen} bytes`;
    throw new PackageError(`${folder}: ${file} ${what}, the manifest says ${bytes} bytes; convert the package again`);
  }
  const beside = [CARD_FILE, LICENSE_FILE].filter((file) => existsSync(join(folder, file)));
  return [MANIFEST_FILE, ...listed.map(({ file }) => file), ...beside];
}

async function place(from: string, manifest: Manifest, to: string): Promise<void> {
  const files = await filesOf(from, manifest);
  await mkdir(to, { recursive: true });
  for (const name of await readdir(to)) {
    if (!files.includes(name)) await rm(join(to, name), { recursive: true });
  }
  for (const file of files) await linkOrCopy(join(from, file), join(to, file));
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  const [source, target] = [await stat(from), await stat(to).catch(() => undefined)];
  if (target?.ino === source.ino && target.dev === source.dev) return;
  await rm(to, { force: true });
  // Other disks and some file systems have no hard links.
  await link(from, to).catch(() => copyFile(from, to));
}

async function entryOf(folder: string, manifest: Manifest): Promise<IndexEntry> {
  const { id, name, family, architecture, quantization, shards, tokenizer } = manifest;
  const { mtimeMs } = await stat(join(folder, MANIFEST_FILE));
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const vectors = inputOf(architecture) === "vectors" ? vectorsOf(manifest) : {};
  const created = Math.floor(mtimeMs / 1000);
  const text = tokenizer !== undefined;
  const classes = manifest.image?.classes ?? [];
  const listed = classes.length > 0 && classes.length <= MAX_CLASSES ? { classes: [...classes] } : {};
  return { id, name, family, architecture, quantization, bytes, created, tokenizer: text, ...listed, ...vectors };
}

function vectorsOf({ architecture, hyperparameters, trainedExamples }: Manifest): Partial<IndexEntry> {
  const blocks = blocksOf(architecture, hyperparameters);
  const widths = { inputs: inputWidth(blocks), outputs: outputWidth(blocks) };
  if (!interleaves(hyperparameters)) return { ...widths, interleave: false };
  const most = mostExamples({ blocks });
  return {
    ...widths,
    max_examples: Number.isFinite(most) ? most : null,
    trained_examples: trainedExamples ?? null,
  };
}

function namesIn(list: string): string[] {
  return list
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

if (import.meta.main) {
  await runCommand({
    help: HELP,
    options: { models: { type: "string" }, only: { type: "string" }, out: { type: "string" } },
    positionals: { min: 0, max: 0 },
    async run(_, { models = "weights/models", only = process.env[ONLY_MODELS], out = assetsDirectory() }) {
      const names = only === undefined || only === "" ? undefined : namesIn(String(only));
      const index = await buildAssets(String(models), String(out), names);
      for (const warning of sharedNames(index)) process.stderr.write(`warning: ${warning}\n`);
    },
  });
}
