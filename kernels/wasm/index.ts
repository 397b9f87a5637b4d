import type { Backend, CompileOptions, Executable, TensorSpec } from "../backend.ts";
import type { Block } from "../blocks.ts";
import { WasmExecutable } from "./executable.ts";
import { instantiate, type WasmModules } from "./kernels.ts";
import { planLayout } from "./layout.ts";
import { chooseSimd, type Simd } from "./simd.ts";

export type { WasmModules } from "./kernels.ts";
export { hasRelaxedSimd, type Simd } from "./simd.ts";

export interface WasmOptions {
  /** default "auto": relaxed SIMD where it computes exactly. The results are the same bits either way. */
  readonly simd?: Simd | "auto";
}

export interface WasmBackend extends Backend {
  readonly name: "wasm";
  /** which module runs. */
  readonly simd: Simd;
}

/**
 * Models in WebAssembly SIMD.
 *
 * @example
 * const backend = await createWasmBackend(await loadWasmModules());
 * const executable = await backend.compile(blocks, tensors);
 * @throws KernelError when the SIMD asked for is missing or inexact
 */
export async function createWasmBackend(modules: WasmModules, options: WasmOptions = {}): Promise<WasmBackend> {
  const simd = await chooseSimd(modules, options.simd ?? "auto");
  const module = modules[simd] as WebAssembly.Module;
  return {
    name: "wasm",
    simd,
    plan: (blocks, tensors, options) => planLayout(blocks, tensors, options).memory,
    async compile(
      blocks: readonly Block[],
      tensors: ReadonlyMap<string, TensorSpec>,
      options?: CompileOptions,
    ): Promise<Executable> {
      const layout = planLayout(blocks, tensors, options);
      const memory = new WebAssembly.Memory({ initial: layout.initialPages, maximum: 65_536 });
      return new WasmExecutable(layout, await instantiate(module, memory), memory);
    },
  };
}
