import type { Backend, CompileOptions, TensorSpec } from "../backend.ts";
import type { Block } from "../blocks.ts";
import { createActivations } from "./activations.ts";
import { WebGpuExecutable } from "./executable.ts";
import { Gpu } from "./gpu.ts";
import { type ModelKernels, makeKernels } from "./kernels.ts";
import { Params } from "./params.ts";
import { Pipelines } from "./pipelines.ts";
import { makePlan, type PlanOptions } from "./plan.ts";
import { BASELINE, type Variants } from "./variants.ts";
import { Weights } from "./weights.ts";
import type { GemmShape } from "./wgsl/gemm.ts";

export { WebGpuError, type WebGpuFailure } from "./errors.ts";
export type { WebGpuExecutable } from "./executable.ts";
export { describeVariants, tune } from "./tune.ts";
export { BASELINE, offeredVariants, type Variants } from "./variants.ts";

export interface WebGpuOptions extends PlanOptions {
  /** of the products of many tokens. */
  readonly gemm?: GemmShape;
  /** what kernels begin with, unchecked. Default core WGSL alone; tune.ts tries what a device offers. */
  readonly variants?: Variants;
}

export interface WebGpuBackend extends Backend {
  readonly name: "webgpu";
  /** bytes of all buffers of its executables and states that live. */
  readonly liveBytes: number;
  /** pipelines compiled so far. */
  readonly pipelines: number;
  compile(
    blocks: readonly Block[],
    tensors: ReadonlyMap<string, TensorSpec>,
    options?: CompileOptions,
  ): Promise<WebGpuExecutable>;
}

/**
 * Models on a GPU. The device needs no feature and no limit beyond the defaults; what it has more is used. Failures of the device are
 * thrown as WebGpuError from whichever call comes next.
 *
 * @example
 * const adapter = await navigator.gpu.requestAdapter();
 * const backend = createWebGpuBackend(await adapter.requestDevice());
 */
export function createWebGpuBackend(device: GPUDevice, options: WebGpuOptions = {}): WebGpuBackend {
  const gpu = new Gpu(device);
  const pipelines = new Pipelines(gpu);
  const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
  const limit = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  const { gemm = { tokens: 8, quads: 1 }, variants = BASELINE } = options;
  return {
    name: "webgpu",
    get liveBytes() {
      return gpu.liveBytes;
    },
    get pipelines() {
      return pipelines.count;
    },
    plan: (blocks, tensors, compile = {}) => makePlan(blocks, tensors, compile, limit, options).memory,
    async compile(blocks, tensors, compile = {}) {
      const plan = makePlan(blocks, tensors, compile, limit, options);
      const compileKernels = (which: Variants): Promise<ModelKernels> =>
        gpu.guarded("compiling the model", () => makeKernels(pipelines, plan, gemm, which));
      const kernels = await compileKernels(variants);
      const params = new Params(gpu);
      return gpu.guarded("allocating the model's memory", () => {
        const weights = new Weights(gpu, plan);
        const activations = createActivations(gpu, plan);
        return new WebGpuExecutable({ gpu, pipelines, plan, kernels, weights, activations, params }, compileKernels);
      });
    },
  };
}
