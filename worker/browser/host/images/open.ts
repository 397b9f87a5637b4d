import type { Backend } from "../../../../kernels/backend.ts";
import { httpSource } from "../../../../weights/http.ts";
import { readManifest } from "../../../../weights/loader.ts";
import { Model } from "../../../engine/model.ts";
import type { LoadOptions, LoadProgress } from "../../client/api.ts";
import { checkFits, defaultBudget } from "../budget.ts";
import { Edge } from "../edge.ts";
import { BackendError } from "../errors.ts";
import { findGpu } from "../gpu.ts";
import { isOutOfMemory } from "../refuge.ts";
import { storedPackage } from "../store.ts";
import { wasmBackend } from "../wasm.ts";
import { type HostImageModel, imageModelInfo, localImageModel, remoteImageModel } from "./image-model.ts";

type OpenOptions = Omit<LoadOptions, "onProgress" | "signal">;

export interface OpenImagesEvents {
  readonly onProgress: (progress: LoadProgress) => void;
  readonly signal: AbortSignal;
}

/** Opens an image package on WASM, or where it is asked for: on WebGPU, or on the edge, as where no memory holds it. */
export async function openImageModel(
  url: string,
  options: OpenOptions,
  events: OpenImagesEvents,
): Promise<HostImageModel> {
  const { signal } = events;
  const wanted = options.backend ?? "auto";
  const remote = async (reason: string): Promise<HostImageModel> => {
    const edge = new Edge(options.edge ?? new URL(url).origin, options.apiKey);
    return remoteImageModel(edge, await readManifest(httpSource(url), signal), reason);
  };
  if (wanted === "rest") return remote("asked for");
  if (wanted === "webgpu") {
    const gpu = await findGpu(true);
    if (typeof gpu === "string") throw new BackendError(`WebGPU cannot be used here: ${gpu}`);
    return localImageModel(await load(url, options, events, gpu.backend), "webgpu", "asked for");
  }
  try {
    const reason = wanted === "wasm" ? "asked for" : "WASM computes image models in this browser";
    return localImageModel(await load(url, options, events, await wasmBackend()), "wasm", reason);
  } catch (error) {
    if (wanted !== "auto" || !isOutOfMemory(error)) throw error;
    return remote(`the model does not fit in this browser: ${(error as Error).message}`);
  }
}

async function load(
  url: string,
  options: OpenOptions,
  { signal, onProgress }: OpenImagesEvents,
  backend: Backend,
): Promise<Model> {
  const modelOptions = { memoryBudget: options.memoryBudget ?? defaultBudget(), sequences: 1, signal };
  // Another kind of package is refused before it is downloaded.
  if (navigator.onLine) imageModelInfo(await readManifest(httpSource(url), signal));
  if (options.store !== false) await checkFits(url, backend, modelOptions);
  const source =
    options.store === false
      ? httpSource(url)
      : await storedPackage(url, {
          onProgress: (loaded, total) => onProgress({ stage: "download", loaded, total }),
          signal,
        });
  return Model.load(source, backend, {
    ...modelOptions,
    onProgress: (loaded, total) => onProgress({ stage: "prepare", loaded, total }),
  });
}
