/** Packages in folders on disk. For Node only. */
import { cp, type FileHandle, mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { PackageError } from "../errors.ts";
import { MANIFEST_FILE } from "../manifest.ts";
import type { PackageSink, PackageSource } from "../source.ts";

/** What a package consists of; other files in its folder, such as its card and licence, stay when it is replaced. */
const PACKAGE_FILE = /^(manifest\.msgpack|shard-\d+\.bin|tokenizer\.json)$/;

/** A package's files in a folder. */
export function folderSource(folder: string): PackageSource {
  const description = `folder ${folder}`;
  return {
    description,
    async open(file, signal) {
      signal?.throwIfAborted();
      try {
        const handle = await open(join(folder, file));
        return fileStream(handle, (await handle.stat()).size);
      } catch (cause) {
        signal?.throwIfAborted();
        throw new PackageError(
          `${description}: ${file} cannot be read (${(cause as Error).message}); is it a whole model package?`,
          { cause },
        );
      }
    },
  };
}

/**
 * Reads straight into the buffer that a BYOB reader lends, as much at a time as it has room for, on another thread. It ends with the
 * last of the file's bytes, without another read that finds nothing: between two reads this thread may compute.
 */
function fileStream(handle: FileHandle, size: number): ReadableStream<Uint8Array> {
  let left = size;
  return new ReadableStream({
    type: "bytes",
    autoAllocateChunkSize: 1024 * 1024, // for readers that lend nothing
    async pull(controller) {
      const request = controller.byobRequest as ReadableStreamBYOBRequest;
      const { bytesRead } = await handle.read(request.view as Uint8Array).catch(async (error: unknown) => {
        await handle.close();
        throw error;
      });
      left -= bytesRead;
      const ended = left <= 0 || bytesRead === 0;
      if (bytesRead > 0) request.respond(bytesRead);
      if (ended) controller.close();
      if (bytesRead === 0) request.respond(0);
      if (ended) await handle.close();
    },
    cancel: () => handle.close(),
  });
}

/**
 * Writes into a temporary folder beside the target, which takes the target's place on commit. A package that is already there is
 * replaced, but not the files beside it that are not its own (card, licence); anything else than a package or an empty folder is
 * refused, now and again on commit.
 * @throws PackageError when the target is something else, or cannot be written beside
 */
export async function folderSink(folder: string): Promise<PackageSink> {
  const target = resolve(folder);
  const description = `folder ${folder}`;
  await contents(target, description);
  const temporary = join(dirname(target), `.${basename(target)}-${crypto.randomUUID().slice(0, 8)}`);
  await mkdir(temporary, { recursive: true }).catch((cause: Error) => {
    throw new PackageError(`${description}: cannot write beside it (${cause.message}); check the path`, { cause });
  });
  return {
    description,
    write: (file, bytes) => writeFile(join(temporary, file), bytes),
    async commit() {
      const before = await contents(target, description);
      const written = await readdir(temporary);
      for (const file of before ?? []) {
        if (PACKAGE_FILE.test(file) || written.includes(file)) continue;
        await cp(join(target, file), join(temporary, file), { recursive: true });
      }
      const old = `${temporary}.old`;
      if (before !== undefined) await rename(target, old);
      try {
        await rename(temporary, target);
      } catch (error) {
        if (before !== undefined) await rename(old, target);
        throw error;
      }
      await rm(old, { recursive: true, force: true });
    },
    discard: () => rm(temporary, { recursive: true, force: true }),
  };
}

/** The files of what a package may replace; undefined when nothing is there. @throws PackageError when it may not be replaced */
async function contents(target: string, description: string): Promise<string[] | undefined> {
  let files: string[];
  try {
    files = await readdir(target);
  } catch (cause) {
    if ((cause as { code?: string }).code === "ENOENT") return undefined;
    throw new PackageError(`${description}: cannot be replaced (${(cause as Error).message}); choose another`, {
      cause,
    });
  }
  if (files.length > 0 && !files.includes(MANIFEST_FILE)) {
    throw new PackageError(
      `${description}: holds ${files.slice(0, 3).join(", ")} and no ${MANIFEST_FILE}, so it is no package to overwrite; choose another`,
    );
  }
  return files;
}
