import { readManifest } from "../../../../weights/loader.ts";
import type { LoadOptions } from "../../client/api.ts";
import { loadOnBest } from "../best-backend.ts";
import type { Edge } from "../edge.ts";
import { BackendError } from "../errors.ts";
import { findGpu } from "../gpu.ts";
import type { OpenEvents } from "../open.ts";
import { openPackage } from "../open-package.ts";
import { packageFiles } from "../package-files.ts";
import { isOutOfMemory } from "../refuge.ts";
import { type HostImageModel, imageModelInfo, localImageModel, remoteImageModel } from "./image-model.ts";

type OpenOptions = Omit<LoadOptions, "onProgress" | "signal">;

/** Opens an image package on the backend asked for, or on the best that this browser has; on the edge where no memory holds it. */
export async function openImageModel(
  url: string,
  edge: Edge,
  options: OpenOptions,
  events: OpenEvents,
): Promise<HostImageModel> {
  const { signal } = events;
  const wanted = options.backend ?? "auto";
  const remote = async (reason: string): Promise<HostImageModel> =>
    remoteImageModel(edge, await readManifest(packageFiles(url, edge), signal), reason);
  if (wanted === "rest") return remote("asked for");
  const gpu = wanted === "wasm" ? "WASM was asked for" : await findGpu(wanted === "webgpu");
  if (wanted === "webgpu" && typeof gpu === "string") throw new BackendError(`WebGPU cannot be used here: ${gpu}`);
  try {
    // Another kind of package is refused before it is downloaded.
    if (navigator.onLine) imageModelInfo(await readManifest(packageFiles(url, edge), signal));
    const opened = await openPackage(url, edge, options, 1, events);
    const { model, chosen } = await loadOnBest({ ...opened, gpu, wanted, onBackend: events.onBackend });
    return localImageModel(model, chosen);
  } catch (error) {
    if (wanted !== "auto" || !isOutOfMemory(error)) throw error;
    return remote(`the model does not fit in this browser: ${(error as Error).message}`);
  }
}
