import type { Backend, Executable } from "../../../kernels/backend.ts";
import { PackageLoad, readManifest } from "../../../weights/loader.ts";
import type { PackageSource } from "../../../weights/source.ts";
import { blocksOf } from "../../engine/architectures/index.ts";
import { heldTensors, sinkOf } from "../../engine/decoded.ts";
import type { Model } from "../../engine/model.ts";
import { compareBackends } from "./compare.ts";
import { failoverBackend } from "./failover.ts";
import type { FoundGpu } from "./gpu.ts";
import type { Chosen } from "./host-model.ts";
import { type MovableExecutable, movableBackend } from "./movable.ts";
import type { OpenedPackage } from "./open-package.ts";
import { tuneFor } from "./tuning.ts";
import { wasmBackend } from "./wasm.ts";

export interface Candidates extends OpenedPackage {
  /** of this browser, or why it has none. */
  readonly gpu: FoundGpu | string;
  readonly wanted: "auto" | "webgpu" | "wasm";
  /** The model goes on elsewhere, or the reason is another one. */
  onBackend(chosen: Chosen): void;
}

/**
 * Loads a model where it is wanted; with "auto" on WASM, from where it moves to WebGPU when that is ready, agrees with WASM and is faster. A
 * GPU that fails is followed by WASM.
 * @returns `chosen` as it is at any time
 */
export async function loadOnBest({
  gpu,
  wanted,
  source,
  load,
  onBackend,
}: Candidates): Promise<{ model: Model; chosen: Chosen }> {
  if (wanted === "wasm" || typeof gpu === "string") {
    const reason = typeof gpu === "string" && wanted !== "wasm" ? gpu : "asked for";
    return { model: await load(await wasmBackend()), chosen: { backend: "wasm", reason } };
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
      onBackend(chosen);
    },
  });
  const loadOnGpu = async (): Promise<{ model: Model; beyond: string }> => {
    const model = await load(guarded);
    const beyond = await tuneFor(compiled!, gpu, model.manifest.id);
    return { model, beyond: beyond === "" ? "" : `, with ${beyond}` };
  };
  if (wanted === "webgpu") {
    chosen.backend = "webgpu";
    const { model, beyond } = await loadOnGpu();
    if (lost === undefined) chosen.reason = `asked for${beyond}`;
    return { model, chosen };
  }

  const onWasm = await load(movableBackend(await wasmBackend()));
  void preferGpu();
  return { model: onWasm, chosen };

  /** Where memory ran out meanwhile, the edge computes, and its reason stays. */
  function because(reason: string): void {
    if (chosen.backend === "rest") return;
    chosen.reason = reason;
    onBackend(chosen);
  }

  /** Its kernels compile while WASM computes; what is under way then moves over. */
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
  const manifest = await readManifest(source);
  const held = heldTensors(manifest, blocksOf(manifest.architecture, manifest.hyperparameters));
  const load = new PackageLoad(manifest, sinkOf(executable, manifest, held));
  for await (const _ of load.lead(source));
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
