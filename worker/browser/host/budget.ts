import type { Backend } from "../../../kernels/backend.ts";
import { readManifest } from "../../../weights/loader.ts";
import type { PackageSource } from "../../../weights/source.ts";
import { MemoryBudgetError } from "../../engine/errors.ts";
import { memoryOfPackage } from "../../engine/memory.ts";

export interface BudgetOptions {
  readonly memoryBudget: number;
  /** live sequences that the memory must hold. */
  readonly sequences: number;
  readonly signal: AbortSignal;
}

/** Before anything is downloaded, as it is counted when it is loaded. @throws MemoryBudgetError with the numbers */
export async function checkFits(network: PackageSource, backend: Backend, options: BudgetOptions): Promise<void> {
  const { memoryBudget, sequences, signal } = options;
  const manifest = await readManifest(network, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    // Offline: what is stored was checked when it was stored.
    if (navigator.onLine) throw error;
    return undefined;
  });
  if (manifest === undefined) return;
  const need = memoryOfPackage(manifest, backend.plan).need(sequences);
  if (need <= memoryBudget) return;
  throw new MemoryBudgetError(
    `${manifest.id} needs ${(need / 1e6).toFixed(1)} MB of memory`,
    need,
    memoryBudget,
    'load it with a larger memoryBudget (bytes), or with backend: "rest", which computes at the edge',
  );
}

/** A quarter of the device's memory, where the browser tells it (in GiB, rounded, at most 8). */
export function defaultBudget(): number {
  const { deviceMemory = 4 } = navigator as { deviceMemory?: number };
  return (deviceMemory * 2 ** 30) / 4;
}
