import { decodeManifest } from "../../../weights/codec.ts";
import { PackageError } from "../../../weights/errors.ts";
import { sha256 } from "../../../weights/hash.ts";
import { type FileEntry, MANIFEST_BYTES, MANIFEST_FILE, type Manifest } from "../../../weights/manifest.ts";
import { byteStream } from "../../../weights/memory.ts";
import type { PackageSource } from "../../../weights/source.ts";
import { readLimited, readWhole, Staging } from "../../../weights/stream.ts";
import { StorageError } from "./errors.ts";
import { names, packagesFolder, readStored, stored, writeStored } from "./files.ts";

/** Files fetched at a time: what servers with HTTP/1.1 let a page open, less one for the page itself. */
const PARALLEL = 5;

interface StoreOptions {
  readonly onProgress: (loaded: number, total: number) => void;
  readonly signal: AbortSignal;
}

/**
 * A package in this browser's own storage (OPFS), under its id: what is missing is downloaded first, files in parallel, each checked
 * against its sha256 before it is kept. A download that was interrupted goes on with the files that are not there yet. Other
 * versions of the package are deleted when it is complete.
 * @param base URL of the package's folder, whose files `network` has
 * @throws PackageError, StorageError with the numbers when it does not fit, the signal's reason
 */
export async function storedPackage(
  base: string,
  network: PackageSource,
  options: StoreOptions,
): Promise<PackageSource> {
  const root = await packagesFolder();
  if (root === undefined) return network;
  const { manifest, bytes } = await findManifest(base, network, root, options.signal);
  // Two tabs do not write the same files.
  return navigator.locks.request(`mamba-edge/${manifest.id}`, { signal: options.signal }, async () => {
    const folder = await root.getDirectoryHandle(manifest.id, { create: true });
    await download(manifest, bytes, network, folder, options);
    await evict(root, manifest);
    return storeSource(manifest, network, folder);
  });
}

/** From the storage when the URL names the id; it then needs no network. */
async function findManifest(
  base: string,
  network: PackageSource,
  root: FileSystemDirectoryHandle,
  signal: AbortSignal,
): Promise<{ manifest: Manifest; bytes: Uint8Array }> {
  const id = decodeURIComponent(new URL(base).pathname.split("/").filter(Boolean).at(-1) ?? "");
  const folder = await root.getDirectoryHandle(id).catch(() => undefined);
  const file = folder && (await stored(folder, MANIFEST_FILE));
  if (file !== undefined) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const manifest = await decodeManifest(bytes, id).catch(() => undefined);
    if (manifest?.id === id) return { manifest, bytes };
  }
  const what = `${network.description}/${MANIFEST_FILE}`;
  const bytes = await readLimited(await network.open(MANIFEST_FILE, signal), MANIFEST_BYTES, what, signal);
  return { manifest: await decodeManifest(bytes, what), bytes };
}

function filesOf({ shards, tokenizer, chatTemplate }: Manifest): FileEntry[] {
  return [tokenizer, chatTemplate, ...shards].filter((entry) => entry !== undefined);
}

async function download(
  manifest: Manifest,
  manifestBytes: Uint8Array,
  network: PackageSource,
  folder: FileSystemDirectoryHandle,
  { onProgress, signal }: StoreOptions,
): Promise<void> {
  const missing: FileEntry[] = [];
  const files = filesOf(manifest);
  const total = sum(files);
  for (const entry of files) {
    if ((await stored(folder, entry.file))?.size !== entry.bytes) missing.push(entry);
  }
  let loaded = total - sum(missing);
  onProgress(loaded, total);
  await checkSpace(manifest.id, sum(missing) + manifestBytes.length);
  await writeStored(folder, MANIFEST_FILE, manifestBytes);

  const failed = new AbortController();
  const both = AbortSignal.any([signal, failed.signal]);
  const lane = async (): Promise<void> => {
    for (let entry = missing.shift(); entry !== undefined; entry = missing.shift()) {
      const bytes = await fetchVerified(network, entry, both, (more) => {
        loaded += more;
        onProgress(loaded, total);
      });
      await keep(folder, entry, bytes);
    }
  };
  const lanes = Array.from({ length: PARALLEL }, lane);
  for (const running of lanes) running.catch((error: unknown) => failed.abort(error));
  // All have ended before the error goes on: nothing is written behind the caller's back.
  await Promise.allSettled(lanes);
  signal.throwIfAborted();
  failed.signal.throwIfAborted();
}

async function fetchVerified(
  network: PackageSource,
  entry: FileEntry,
  signal: AbortSignal,
  onBytes: (more: number) => void,
): Promise<Uint8Array> {
  const what = `${network.description}/${entry.file}`;
  const counted = (await network.open(entry.file, signal)).pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        onBytes(chunk.byteLength);
        controller.enqueue(chunk);
      },
    }),
  );
  const bytes = await readWhole(counted, entry.bytes, new Staging(1 + entry.bytes), what, { signal });
  const seen = await sha256(bytes);
  if (seen === entry.sha256) return bytes;
  throw new PackageError(
    `${what}: its sha256 is ${seen}, the manifest says ${entry.sha256}: it was altered or cut on the way; load it again, or upload the package anew`,
  );
}

async function keep(folder: FileSystemDirectoryHandle, entry: FileEntry, bytes: Uint8Array): Promise<void> {
  try {
    await writeStored(folder, entry.file, bytes);
  } catch (error) {
    if ((error as Error).name !== "QuotaExceededError") throw error;
    throw await noSpace(folder.name, entry.bytes);
  }
}

async function checkSpace(id: string, need: number): Promise<void> {
  const { quota = Number.POSITIVE_INFINITY, usage = 0 } = await navigator.storage.estimate();
  if (need > quota - usage) throw await noSpace(id, need);
}

async function noSpace(id: string, need: number): Promise<StorageError> {
  const { quota = 0, usage = 0 } = await navigator.storage.estimate();
  const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  return new StorageError(
    `${id} needs ${mb(need)} of storage; the browser lets this site keep ${mb(quota)}, ${mb(usage)} are in use: ` +
      "free disk space, clear the site's data, take a smaller package, or load with store: false",
  );
}

/** Other versions of the same name. One that another tab is loading stays. */
async function evict(root: FileSystemDirectoryHandle, { id, name }: Manifest): Promise<void> {
  for (const other of await names(root)) {
    if (other === id || other.slice(0, other.lastIndexOf("@")) !== name) continue;
    await navigator.locks.request(`mamba-edge/${other}`, { ifAvailable: true }, async (lock) => {
      if (lock !== null) await root.removeEntry(other, { recursive: true });
    });
  }
}

/** Reads stored files; one that was damaged since is fetched again. */
function storeSource(manifest: Manifest, network: PackageSource, folder: FileSystemDirectoryHandle): PackageSource {
  const entries = new Map(filesOf(manifest).map((entry) => [entry.file, entry]));
  return {
    description: `stored ${manifest.id}`,
    async open(file, signal) {
      signal?.throwIfAborted();
      const entry = entries.get(file);
      if (entry === undefined) return (await stored(folder, file))?.stream() ?? network.open(file, signal);
      let bytes = await readStored(folder, entry);
      if (bytes === undefined) {
        bytes = await fetchVerified(network, entry, signal ?? new AbortController().signal, () => {});
        await keep(folder, entry, bytes);
      }
      return byteStream(bytes);
    },
  };
}

function sum(entries: readonly FileEntry[]): number {
  return entries.reduce((bytes, entry) => bytes + entry.bytes, 0);
}
