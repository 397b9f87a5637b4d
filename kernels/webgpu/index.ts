import type { Backend, CompileOptions, Executable, ImageRunner, MemoryPlan, TensorSpec } from "../backend.ts";
import type { Block } from "../blocks.ts";
import { takesImages } from "../image-blocks.ts";
import { createActivations } from "./activations.ts";
import { planImages } from "./blocks/image-plan.ts";
import { ImageExecutable } from "./blocks/images.ts";
import { type BlockKernels, makeBlockKernels } from "./blocks/kernels.ts";
import { planSequences } from "./blocks/sequence-plan.ts";
import { SequenceExecutable } from "./blocks/sequences.ts";
import type { TensorPlan } from "./blocks/tensors.ts";
import { WebGpuExecutable } from "./executable.ts";
import { Gpu } from "./gpu.ts";
import { type KernelChoice, type ModelKernels, makeKernels } from "./kernels.ts";
import { Params } from "./params.ts";
import { Pipelines } from "./pipelines.ts";
import { isFused, makePlan, type PlanOptions } from "./plan.ts";
import { SHAPES, type Shapes } from "./shapes.ts";
import { BASELINE, type Variants } from "./variants.ts";
import { Weights } from "./weights.ts";

export { WebGpuError, type WebGpuFailure } from "./errors.ts";
export { WebGpuExecutable } from "./executable.ts";
export type { KernelChoice } from "./kernels.ts";
export type { Shapes } from "./shapes.ts";
export { describeChoice, TIMED, TRIED, type Tuning, tune } from "./tune.ts";
export { BASELINE, offeredVariants, type Variants } from "./variants.ts";

export interface WebGpuOptions extends PlanOptions {
  /** how kernels cut their work. tune.ts tries others than those by default. */
  readonly shapes?: Partial<Shapes>;
  /** what kernels begin with, unchecked. Default core WGSL alone; tune.ts tries what a device offers. */
  readonly variants?: Variants;
}

export interface WebGpuBackend extends Backend {
  readonly name: "webgpu";
  /** bytes of all buffers of its executables and states that live. */
  readonly liveBytes: number;
  /** pipelines compiled so far. */
  readonly pipelines: number;
  /** As `compile`, of a language model of Mamba blocks, which the fused kernels run. @throws KernelError of another */
  compileFused(
    blocks: readonly Block[],
    tensors: ReadonlyMap<string, TensorSpec>,
    options?: CompileOptions,
  ): Promise<WebGpuExecutable>;
}

type Tensors = ReadonlyMap<string, TensorSpec>;

/** Bytes that a model takes on a device that binds so many. @throws KernelError */
export function planWebGpu(
  blocks: readonly Block[],
  tensors: Tensors,
  compile: CompileOptions,
  limit: number,
  options: PlanOptions = {},
): Pick<Executable, "maxTokens" | "maxSequences" | "memory"> & Partial<Pick<ImageRunner, "maxImage" | "maxImages">> {
  if (takesImages(blocks)) {
    return { maxTokens: 0, maxSequences: 0, ...planImages(blocks, tensors, compile, limit, options.matrixLimit) };
  }
  if (isFused(blocks)) return makePlan(blocks, tensors, compile, limit, options);
  return planSequences(blocks, tensors, compile, limit, options.matrixLimit);
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
  const first: KernelChoice = { shapes: { ...SHAPES, ...options.shapes }, variants: options.variants ?? BASELINE };
  return {
    name: "webgpu",
    get liveBytes() {
      return gpu.liveBytes;
    },
    get pipelines() {
      return pipelines.count;
    },
    plan: (blocks, tensors, compile = {}): MemoryPlan => planWebGpu(blocks, tensors, compile, limit, options).memory,
    compile: (blocks, tensors, compile = {}): Promise<Executable> =>
      (isFused(blocks) ? compileFused : compileBlocks)(blocks, tensors, compile),
    compileFused,
  };

  async function compileFused(
    blocks: readonly Block[],
    tensors: Tensors,
    compile: CompileOptions = {},
  ): Promise<WebGpuExecutable> {
    const plan = makePlan(blocks, tensors, compile, limit, options);
    const compileKernels = (choice: KernelChoice): Promise<ModelKernels> =>
      gpu.guarded("compiling the model", () => makeKernels(pipelines, plan, choice));
    const kernels = await compileKernels(first);
    const params = new Params(gpu);
    return gpu.guarded("allocating the model's memory", () => {
      const weights = new Weights(gpu, plan);
      const activations = createActivations(gpu, plan);
      return new WebGpuExecutable({ gpu, pipelines, plan, kernels, weights, activations, params }, compileKernels);
    });
  }

  async function compileBlocks(
    blocks: readonly Block[],
    tensors: Tensors,
    compile: CompileOptions,
  ): Promise<Executable> {
    const make = async (
      plan: { readonly tensors: TensorPlan; positions(block: number): number },
      executable: (kernels: BlockKernels) => Executable,
    ): Promise<Executable> => {
      const kernels = await gpu.guarded("compiling the model", () =>
        makeBlockKernels(pipelines, plan.tensors, plan.positions),
      );
      return gpu.guarded("allocating the model's memory", () => executable(kernels));
    };
    if (takesImages(blocks)) {
      const plan = planImages(blocks, tensors, compile, limit, options.matrixLimit);
      return make(plan, (kernels) => new ImageExecutable(gpu, pipelines, kernels, plan));
    }
    const plan = planSequences(blocks, tensors, compile, limit, options.matrixLimit);
    return make(plan, (kernels) => new SequenceExecutable(gpu, pipelines, kernels, plan));
  }
}
