import type { Backend, CompileOptions, Executable, TensorSpec } from "../backend.ts";
import type { Block } from "../blocks.ts";
import { takesImages } from "../image-blocks.ts";
import { WasmExecutable } from "./executable.ts";
import { planImages } from "./image-layout.ts";
import { WasmImageExecutable } from "./images.ts";
import { type Dots, instantiate, type WasmModules } from "./kernels.ts";
import { planLayout } from "./layout.ts";
import { chooseSimd, type Simd } from "./simd.ts";

export type { Dots, WasmModules } from "./kernels.ts";
export { hasRelaxedSimd, type Simd } from "./simd.ts";

export interface WasmOptions {
  /** default "auto": relaxed SIMD where it computes exactly. The results are the same bits either way. */
  readonly simd?: Simd | "auto";
  /** how integer dots are summed, for tests and measurements: default what suits the host. */
  readonly dots?: Dots | "auto";
}

export interface WasmBackend extends Backend {
  readonly name: "wasm";
  /** which module runs. */
  readonly simd: Simd;
  /** which of its integer dots. */
  readonly dots: Dots;
}

/** What `compile` will take of memory; it needs no compiled kernels. */
export const planWasm: Backend["plan"] = (blocks, tensors, options) =>
  (takesImages(blocks) ? planImages : planLayout)(blocks, tensors, options).memory;

/**
 * Models in WebAssembly SIMD.
 *
 * @example
 * const backend = await createWasmBackend(await loadWasmModules());
 * const executable = await backend.compile(blocks, tensors);
 * @throws KernelError when the SIMD asked for is missing or inexact
 */
export async function createWasmBackend(modules: WasmModules, options: WasmOptions = {}): Promise<WasmBackend> {
  const { simd, dots } = await chooseSimd(modules, options.simd ?? "auto", options.dots ?? "auto");
  const module = modules[simd] as WebAssembly.Module;
  return {
    name: "wasm",
    simd,
    dots,
    plan: planWasm,
    async compile(
      blocks: readonly Block[],
      tensors: ReadonlyMap<string, TensorSpec>,
      options?: CompileOptions,
    ): Promise<Executable> {
      const room = (pages: number): WebAssembly.Memory => new WebAssembly.Memory({ initial: pages, maximum: 65_536 });
      if (takesImages(blocks)) {
        const layout = planImages(blocks, tensors, options);
        const memory = room(layout.initialPages);
        return new WasmImageExecutable(layout, await instantiate(module, memory, dots), memory);
      }
      const layout = planLayout(blocks, tensors, options);
      const memory = room(layout.initialPages);
      return new WasmExecutable(layout, await instantiate(module, memory, dots), memory);
    },
  };
}
