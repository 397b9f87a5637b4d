import { sha256 } from "../../../weights/hash.ts";
import type { FileEntry } from "../../../weights/manifest.ts";

/** What OPFS has and the type library lacks. */
type Movable = FileSystemFileHandle & { move(name: string): Promise<void> };
type Listed = FileSystemDirectoryHandle & { entries(): AsyncIterable<[string, FileSystemHandle]> };

/** Where packages are kept, a folder each; undefined where this browser stores nothing (as some private windows). */
export function packagesFolder(): Promise<FileSystemDirectoryHandle | undefined> {
  return folder("mamba-edge");
}

/** Where is kept what was found out about GPUs; undefined likewise. */
export function tuningFolder(): Promise<FileSystemDirectoryHandle | undefined> {
  return folder("mamba-edge-tuning");
}

async function folder(name: string): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true });
  } catch {
    return undefined;
  }
}

export async function names(folder: FileSystemDirectoryHandle): Promise<string[]> {
  const found: string[] = [];
  for await (const [name] of (folder as Listed).entries()) found.push(name);
  return found;
}

/** A stored file, or undefined. Files appear under their name only when they are whole. */
export async function stored(folder: FileSystemDirectoryHandle, name: string): Promise<File | undefined> {
  try {
    return await (await folder.getFileHandle(name)).getFile();
  } catch {
    return undefined;
  }
}

/** The bytes of a stored file that is what the manifest says; undefined when it is not there or damaged. */
export async function readStored(folder: FileSystemDirectoryHandle, entry: FileEntry): Promise<Uint8Array | undefined> {
  const file = await stored(folder, entry.file);
  if (file?.size !== entry.bytes) return undefined;
  const bytes = new Uint8Array(await file.arrayBuffer());
  return (await sha256(bytes)) === entry.sha256 ? bytes : undefined;
}

/** Writes under a temporary name, then renames: who is interrupted leaves no half file under the name. */
export async function writeStored(folder: FileSystemDirectoryHandle, name: string, bytes: Uint8Array): Promise<void> {
  const part = (await folder.getFileHandle(`${name}.part`, { create: true })) as Movable;
  const access = await part.createSyncAccessHandle();
  try {
    access.truncate(0);
    access.write(bytes as Uint8Array<ArrayBuffer>, { at: 0 });
    access.flush();
  } finally {
    access.close();
  }
  await part.move(name);
}
