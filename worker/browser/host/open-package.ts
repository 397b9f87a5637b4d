import type { Backend } from "../../../kernels/backend.ts";
import type { PackageSource } from "../../../weights/source.ts";
import { Model } from "../../engine/model.ts";
import type { LoadOptions, LoadProgress } from "../client/api.ts";
import { checkFits, defaultBudget } from "./budget.ts";
import type { Edge } from "./edge.ts";
import { packageFiles } from "./package-files.ts";
import { storedPackage } from "./store.ts";
import { wasmBackend } from "./wasm.ts";

export interface OpenedPackage {
  readonly source: PackageSource;
  load(backend: Backend): Promise<Model>;
}

export interface PackageEvents {
  readonly onProgress: (progress: LoadProgress) => void;
  readonly signal: AbortSignal;
}

/**
 * A package's bytes, stored in this browser unless that is not wanted; a model that does not fit is refused before.
 * @param sequences live ones that the memory must hold at least
 */
export async function openPackage(
  url: string,
  edge: Edge,
  { memoryBudget = defaultBudget(), store }: Pick<LoadOptions, "memoryBudget" | "store">,
  sequences: number,
  { onProgress, signal }: PackageEvents,
): Promise<OpenedPackage> {
  const modelOptions = { memoryBudget, sequences, signal };
  const network = packageFiles(url, edge);
  if (store !== false) await checkFits(network, await wasmBackend(), modelOptions);
  const source =
    store === false
      ? network
      : await storedPackage(url, network, {
          onProgress: (loaded, total) => onProgress({ stage: "download", loaded, total }),
          signal,
        });
  const load = (backend: Backend): Promise<Model> =>
    Model.load(source, backend, {
      ...modelOptions,
      onProgress: (loaded, total) => onProgress({ stage: "prepare", loaded, total }),
    });
  return { source, load };
}
