import { readManifest } from "../../../weights/loader.ts";
import { blocksOf } from "../../engine/architectures/index.ts";
import type { LoadOptions } from "../client/api.ts";
import { loadOnBest, messageOf } from "./best-backend.ts";
import type { Edge } from "./edge.ts";
import { BackendError } from "./errors.ts";
import { type FoundGpu, findGpu } from "./gpu.ts";
import type { Chosen, HostModel } from "./host-model.ts";
import { localModel } from "./local-model.ts";
import { modelInfo } from "./model-info.ts";
import { openPackage, type PackageEvents } from "./open-package.ts";
import { packageFiles } from "./package-files.ts";
import { isOutOfMemory, Refuge } from "./refuge.ts";
import { remoteModel } from "./remote-model.ts";

export interface OpenEvents extends PackageEvents {
  /** The model goes on elsewhere. */
  readonly onBackend: (chosen: Chosen) => void;
}

type OpenOptions = Omit<LoadOptions, "onProgress" | "signal">;

/** Live sequences that the memory must hold at least: sessions, forks, and the states that chats are gone on from. */
const SEQUENCES = 8;

/** Opens a package on the backend asked for, or on the best that this browser has. */
export async function openModel(url: string, edge: Edge, options: OpenOptions, events: OpenEvents): Promise<HostModel> {
  const { signal } = events;
  const wanted = options.backend ?? "auto";
  const remote = async (reason: string): Promise<HostModel> => {
    const manifest = await readManifest(packageFiles(url, edge), signal);
    return remoteModel(edge, modelInfo(manifest, blocksOf(manifest.architecture, manifest.hyperparameters)), reason);
  };
  if (wanted === "rest") return remote("asked for");

  const gpu = wanted === "wasm" ? "WASM was asked for" : await findGpu(wanted === "webgpu");
  if (wanted === "webgpu" && typeof gpu === "string") throw new BackendError(`WebGPU cannot be used here: ${gpu}`);
  try {
    return await openLocal(url, options, events, edge, gpu);
  } catch (error) {
    if (wanted !== "auto" || !isOutOfMemory(error)) throw error;
    return remote(`the model does not fit in this browser: ${(error as Error).message}`);
  }
}

async function openLocal(
  url: string,
  options: OpenOptions,
  events: OpenEvents,
  edge: Edge,
  gpu: FoundGpu | string,
): Promise<HostModel> {
  const opened = await openPackage(url, edge, options, SEQUENCES, events);
  const wanted = (options.backend ?? "auto") as Exclude<typeof options.backend, "rest" | undefined>;
  const { model, chosen } = await loadOnBest({ ...opened, gpu, wanted, onBackend: events.onBackend });
  // Only who leaves the choice to the client has states go to the edge.
  if (wanted !== "auto") return localModel(model, chosen, edge);
  const onMove = (cause: unknown): void => {
    chosen.backend = "rest";
    chosen.reason = `this browser has no more memory (${messageOf(cause)}): the edge went on from the same state`;
    events.onBackend(chosen);
  };
  return localModel(model, chosen, edge, new Refuge(edge, modelInfo(model.manifest, model.blocks), onMove));
}
