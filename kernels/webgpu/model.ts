import type { Activations } from "./activations.ts";
import type { Gpu } from "./gpu.ts";
import type { ModelKernels } from "./kernels.ts";
import type { Params } from "./params.ts";
import type { Pipelines } from "./pipelines.ts";
import type { Plan } from "./plan.ts";
import type { Weights } from "./weights.ts";

/** A compiled model: its plan, and what it has on the device. */
export interface GpuModel {
  readonly gpu: Gpu;
  readonly pipelines: Pipelines;
  readonly plan: Plan;
  /** Others take their place when a variant is tried: they read and write the same buffers. */
  kernels: ModelKernels;
  readonly weights: Weights;
  readonly activations: Activations;
  readonly params: Params;
}
