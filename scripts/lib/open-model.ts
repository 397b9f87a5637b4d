import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { Backend } from "../../kernels/backend.ts";
import { createReferenceBackend } from "../../kernels/reference/index.ts";
import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import type { Encoding } from "../../weights/layout.ts";
import { MANIFEST_FILE } from "../../weights/manifest.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import { folderSource } from "../../weights/node/folder.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { Model, type ModelOptions } from "../../worker/engine/model.ts";
import { progressBar, UsageError } from "./cli.ts";
import { openCheckpoint } from "./open-checkpoint.ts";

export type BackendName = "reference" | "wasm" | "webgpu";

export const BACKENDS = ["reference", "wasm", "webgpu"] as const;
export const QUANTIZATIONS = ["f32", "q8", "q4"] as const;

export interface OpenOptions extends ModelOptions {
  readonly backend: BackendName | Backend;
  /** of a checkpoint's matrices; a package must have it already. */
  readonly quantization?: Encoding | undefined;
}

/** A backend of this machine; webgpu is headless Chromium's, which runs until `closeBackend`. */
export async function openBackend(name: BackendName): Promise<Backend> {
  if (name === "webgpu") {
    // Loaded when asked for: it brings a browser.
    const { openPageBackend } = await import("./webgpu-page/index.ts");
    return openPageBackend();
  }
  return name === "reference" ? createReferenceBackend() : createWasmBackend(await loadWasmModules());
}

/** Ends what a backend keeps running. */
export async function closeBackend(backend: Backend): Promise<void> {
  if ("close" in backend) await (backend as Backend & { close(): Promise<void> }).close();
}

/** Runs work on a model of that path, on a backend that ends with it. */
export async function withModel<T>(
  path: string,
  { backend: name, ...options }: OpenOptions & { readonly backend: BackendName },
  work: (model: Model) => Promise<T>,
): Promise<T> {
  const backend = await openBackend(name);
  try {
    return await work(await openModel(path, { ...options, backend }));
  } finally {
    await closeBackend(backend);
  }
}

/** A name for a package from where its checkpoint lies. */
export function nameOf(path: string): string {
  const full = resolve(path);
  const name = /\.(safetensors|json|pth|pt|bin|ckpt)$/.test(full) ? basename(dirname(full)) : basename(full);
  return name.replace(/[^A-Za-z0-9._-]/g, "-");
}

/** Opens a package folder, a checkpoint folder or a checkpoint file. Outside an isolate there is no memory budget. */
export async function openModel(path: string, options: OpenOptions): Promise<Model> {
  const bar = progressBar("loading");
  try {
    const load = { memoryBudget: Infinity, ...options, onProgress: bar.update };
    const backend = typeof options.backend === "string" ? await openBackend(options.backend) : options.backend;
    if (existsSync(join(path, MANIFEST_FILE))) {
      const model = await Model.load(folderSource(path), backend, load);
      const has = model.manifest.quantization;
      if (options.quantization !== undefined && options.quantization !== has) {
        throw new UsageError(
          `${path} is a package at ${has}: give the checkpoint itself to run it at ${options.quantization}`,
        );
      }
      return model;
    }
    const memory = new MemoryPackage();
    const checkpoint = await openCheckpoint(path);
    await convertCheckpoint(checkpoint, { name: nameOf(path), quantization: options.quantization ?? "f32" }, memory);
    return await Model.load(memory, backend, load);
  } finally {
    bar.stop();
  }
}
