import type { Gpu } from "./gpu.ts";
import type { Kernel } from "./pipelines.ts";

/** Hears of every dispatch, in order, for a profile. Returns the timestamps that its pass is to write, a pass each. */
export type Profiler = (label: string) => GPUComputePassTimestampWrites;

/** Commands of one submission: dispatches in one compute pass as long as nothing is copied between. */
export class Recorder {
  /** so far. */
  dispatches = 0;
  readonly #gpu: Gpu;
  readonly #encoder: GPUCommandEncoder;
  readonly #profiler: Profiler | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #kernel: Kernel | undefined;

  constructor(gpu: Gpu, profiler?: Profiler) {
    gpu.check();
    this.#gpu = gpu;
    this.#encoder = gpu.device.createCommandEncoder();
    this.#profiler = profiler;
  }

  dispatch(kernel: Kernel, groups: readonly GPUBindGroup[], x: number, y = 1, z = 1): void {
    if (this.#profiler !== undefined) {
      this.#end();
      this.#pass = this.#encoder.beginComputePass({ timestampWrites: this.#profiler(kernel.label) });
    }
    this.#pass ??= this.#encoder.beginComputePass();
    if (kernel !== this.#kernel) this.#pass.setPipeline(kernel.pipeline);
    this.#kernel = kernel;
    for (let i = 0; i < groups.length; i++) this.#pass.setBindGroup(i, groups[i]!);
    this.#pass.dispatchWorkgroups(x, y, z);
    this.dispatches++;
  }

  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, bytes: number): void {
    this.#end();
    this.#encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
  }

  clear(buffer: GPUBuffer): void {
    this.#end();
    this.#encoder.clearBuffer(buffer);
  }

  submit(): void {
    this.#end();
    this.#gpu.device.queue.submit([this.#encoder.finish()]);
  }

  #end(): void {
    this.#pass?.end();
    this.#pass = undefined;
    this.#kernel = undefined;
  }
}
