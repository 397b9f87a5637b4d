import type { Backend, Executable } from "../../../kernels/backend.ts";
import { httpSource } from "../../../weights/http.ts";
import { PackageLoad, readManifest } from "../../../weights/loader.ts";
import type { PackageSource } from "../../../weights/source.ts";
import { blocksOf } from "../../engine/architectures/index.ts";
import { Model } from "../../engine/model.ts";
import type { LoadOptions, LoadProgress } from "../client/api.ts";
import { checkFits, defaultBudget } from "./budget.ts";
import { compareBackends } from "./compare.ts";
import { Edge } from "./edge.ts";
import { BackendError } from "./errors.ts";
import { failoverBackend } from "./failover.ts";
import { type FoundGpu, findGpu } from "./gpu.ts";
import type { HostModel } from "./host-model.ts";
import { type Chosen, localModel } from "./local-model.ts";
import { modelInfo } from "./model-info.ts";
import { type MovableExecutable, movableBackend } from "./movable.ts";
import { isOutOfMemory, Refuge } from "./refuge.ts";
import { remoteModel } from "./remote-model.ts";
import { storedPackage } from "./store.ts";
import { tuneFor } from "./tuning.ts";
import { wasmBackend } from "./wasm.ts";

export interface OpenEvents {
  readonly onProgress: (progress: LoadProgress) => void;
  /** The model goes on elsewhere. */
  readonly onBackend: (chosen: Chosen) => void;
  readonly signal: AbortSignal;
}

type OpenOptions = Omit<LoadOptions, "onProgress" | "signal">;

/** Live sequences that the memory must hold at least: sessions, forks, and the states that chats are gone on from. */
const SEQUENCES = 8;

/** Opens a package on the backend asked for, or on the best that this browser has. */
export async function openModel(url: string, options: OpenOptions, events: OpenEvents): Promise<HostModel> {
  const { signal } = events;
  const edge = new Edge(options.edge ?? new URL(url).origin, options.apiKey);
  const wanted = options.backend ?? "auto";
  const remote = async (reason: string): Promise<HostModel> => {
    const manifest = await readManifest(httpSource(url), signal);
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
  const { signal, onProgress } = events;
  const memoryBudget = options.memoryBudget ?? defaultBudget();
  const modelOptions = { memoryBudget, sequences: SEQUENCES, signal };
  const wasm = await wasmBackend();
  if (options.store !== false) await checkFits(url, wasm, modelOptions);
  const source =
    options.store === false
      ? httpSource(url)
      : await storedPackage(url, {
          onProgress: (loaded, total) => onProgress({ stage: "download", loaded, total }),
          signal,
        });
  const load = (backend: Backend): Promise<Model> =>
    Model.load(source, backend, {
      ...modelOptions,
      onProgress: (loaded, total) => onProgress({ stage: "prepare", loaded, total }),
    });

  /** Only who leaves the choice to the client has states go to the edge. */
  const local = (model: Model, chosen: Chosen): HostModel => {
    if ((options.backend ?? "auto") !== "auto") return localModel(model, chosen, edge);
    const onMove = (cause: unknown): void => {
      chosen.backend = "rest";
      chosen.reason = `this browser has no more memory (${messageOf(cause)}): the edge went on from the same state`;
      events.onBackend(chosen);
    };
    return localModel(model, chosen, edge, new Refuge(edge, modelInfo(model.manifest, model.blocks), onMove));
  };

  if (typeof gpu === "string") {
    const reason = options.backend === "wasm" ? "asked for" : gpu;
    return local(await load(wasm), { backend: "wasm", reason });
  }

  const chosen: Chosen = { backend: "wasm", reason: "WASM computes until WebGPU is ready" };
  let lost: unknown;
  let compiled: Executable | undefined;
  const remembering: Backend = {
    name: "webgpu",
    plan: (...args) => gpu.backend.plan(...args),
    compile: async (...args) => (compiled = await gpu.backend.compile(...args)),
  };
  const guarded = failoverBackend(remembering, {
    fallback: wasmBackend,
    reload: (executable) => reload(source, executable),
    onFailover: (cause) => {
      lost = cause;
      if (chosen.backend !== "webgpu") return;
      chosen.backend = "wasm";
      chosen.reason = `the GPU failed (${messageOf(cause)}): WASM went on from the same state`;
      events.onBackend(chosen);
    },
  });
  const loadOnGpu = async (): Promise<{ model: Model; beyond: string }> => {
    const model = await load(guarded);
    const beyond = await tuneFor(compiled!, gpu, model.manifest.id);
    return { model, beyond: beyond === "" ? "" : `, with ${beyond}` };
  };
  if (options.backend === "webgpu") {
    chosen.backend = "webgpu";
    const { model, beyond } = await loadOnGpu();
    if (lost === undefined) chosen.reason = `asked for${beyond}`;
    return local(model, chosen);
  }

  const onWasm = await load(movableBackend(wasm));
  void preferGpu();
  return local(onWasm, chosen);

  /** Where memory ran out meanwhile, the edge computes, and its reason stays. */
  function because(reason: string): void {
    if (chosen.backend === "rest") return;
    chosen.reason = reason;
    events.onBackend(chosen);
  }

  /** Its kernels compile while WASM computes; what is generated then moves over between two tokens. */
  async function preferGpu(): Promise<void> {
    let onGpu: Model | undefined;
    try {
      const loaded = await loadOnGpu();
      onGpu = loaded.model;
      const { faster, reason } = await compareBackends(onGpu, onWasm);
      if (lost !== undefined) throw lost;
      if (faster && chosen.backend === "wasm") {
        await (onWasm.executable as MovableExecutable).moveTo(onGpu.executable);
        onGpu = undefined;
        chosen.backend = "webgpu";
      }
      because(reason + loaded.beyond);
    } catch (error) {
      because(`WebGPU failed here: ${messageOf(error)}`);
    }
    onGpu?.dispose();
  }
}

async function reload(source: PackageSource, executable: Executable): Promise<void> {
  const load = new PackageLoad(await readManifest(source), executable);
  for await (const _ of load.lead(source));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
