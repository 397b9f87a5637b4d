import type { Backend } from "../../../kernels/backend.ts";
import { readManifest } from "../../../weights/loader.ts";
import type { PackageSource } from "../../../weights/source.ts";
import { blocksOf } from "../../engine/architectures/index.ts";
import { heldTensors } from "../../engine/decoded.ts";
import { MemoryBudgetError } from "../../engine/errors.ts";

export interface BudgetOptions {
  readonly memoryBudget: number;
  /** live sequences that the memory must hold. */
  readonly sequences: number;
  readonly signal: AbortSignal;
}

/** Before anything is downloaded. @throws MemoryBudgetError with the numbers */
export async function checkFits(network: PackageSource, backend: Backend, options: BudgetOptions): Promise<void> {
  const { memoryBudget, sequences, signal } = options;
  const manifest = await readManifest(network, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    // Offline: what is stored was checked when it was stored.
    if (navigator.onLine) throw error;
    return undefined;
  });
  if (manifest === undefined) return;
  const blocks = blocksOf(manifest.architecture, manifest.hyperparameters);
  const { image } = manifest;
  const compile = image && { maxImage: { height: image.height, width: image.width } };
  const plan = backend.plan(blocks, heldTensors(manifest, blocks), compile);
  const need = plan.weights + plan.activations + sequences * plan.statePerSequence;
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
