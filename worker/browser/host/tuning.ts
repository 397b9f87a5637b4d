import type { Executable } from "../../../kernels/backend.ts";
import { describeChoice, TIMED, type Tuning, tune } from "../../../kernels/webgpu/index.ts";
import { sha256 } from "../../../weights/hash.ts";
import { stored, tuningFolder, writeStored } from "./files.ts";
import type { FoundGpu } from "./gpu.ts";

/**
 * Has a loaded model compute with what is fastest on this GPU: found out by a short measurement, and remembered by browser, adapter and
 * model. A device that fails meanwhile is noticed by the next pass.
 * @param model id of its package
 * @returns what was kept beyond the defaults, in words
 */
export async function tuneFor(executable: Executable, gpu: FoundGpu, model: string): Promise<string> {
  const { offered, shapes } = gpu;
  // A software adapter.
  if (shapes.length === 0) return "";
  try {
    const folder = await tuningFolder();
    const name = await nameOf(gpu, model);
    const remembered = folder && (await remember(folder, name));
    const tuning = await tune(executable, offered, shapes, remembered);
    if (folder !== undefined && remembered === undefined) await note(folder, name, tuning);
    return describeChoice(tuning);
  } catch {
    return "";
  }
}

/** Another version of the browser may bring another compiler, another one of the client other measurements. */
async function nameOf({ adapter, offered, shapes }: FoundGpu, model: string): Promise<string> {
  const key = JSON.stringify([navigator.userAgent, adapter, offered, shapes, model, TIMED]);
  return `${(await sha256(new TextEncoder().encode(key))).slice(0, 32)}.json`;
}

async function remember(folder: FileSystemDirectoryHandle, name: string): Promise<string[] | undefined> {
  const file = await stored(folder, name);
  if (file === undefined) return undefined;
  try {
    const kept: unknown = JSON.parse(await file.text());
    return Array.isArray(kept) && kept.every((trial) => typeof trial === "string") ? kept : undefined;
  } catch {
    return undefined;
  }
}

/** What cannot be written is found out again. */
async function note(folder: FileSystemDirectoryHandle, name: string, { kept }: Tuning): Promise<void> {
  await writeStored(folder, name, new TextEncoder().encode(JSON.stringify(kept))).catch(() => {});
}
