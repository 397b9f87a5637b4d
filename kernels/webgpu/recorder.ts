import type { Gpu } from "./gpu.ts";
import type { Kernel } from "./pipelines.ts";

/** Hears, for a profile, of every compute pass that begins, and returns the timestamps that it is to write. */
export interface Profiler {
  /** every dispatch in a pass of its own. */
  readonly apart: boolean;
  /** @param label the pass's first kernel, with its workgroups */
  begin(label: string): GPUComputePassTimestampWrites | undefined;
}

/** Commands of one submission: dispatches in one compute pass as long as nothing is copied between. */
export class Recorder {
  /** so far. */
  dispatches = 0;
  readonly #gpu: Gpu;
  readonly #encoder: GPUCommandEncoder;
  readonly #profiler: Profiler | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #kernel: Kernel | undefined;
  readonly #groups: (GPUBindGroup | undefined)[] = [];

  constructor(gpu: Gpu, profiler?: Profiler) {
    gpu.check();
    this.#gpu = gpu;
    this.#encoder = gpu.device.createCommandEncoder();
    this.#profiler = profiler;
  }

  dispatch(kernel: Kernel, groups: readonly GPUBindGroup[], x: number, y = 1, z = 1): void {
    if (this.#profiler?.apart === true) this.#end();
    this.#pass ??= this.#begin(`${kernel.label} ${x}×${y}×${z}`);
    if (kernel !== this.#kernel) this.#pass.setPipeline(kernel.pipeline);
    this.#kernel = kernel;
    for (let i = 0; i < groups.length; i++) {
      if (groups[i] !== this.#groups[i]) this.#pass.setBindGroup(i, groups[i]!);
      this.#groups[i] = groups[i];
    }
    if (y === 1 && z === 1) this.#pass.dispatchWorkgroups(x);
    else this.#pass.dispatchWorkgroups(x, y, z);
    this.dispatches++;
  }

  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, bytes: number): void {
    this.#end();
    this.#encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
  }

  /** @param bytes from its beginning on; all of it by default */
  clear(buffer: GPUBuffer, bytes = buffer.size): void {
    this.#end();
    this.#encoder.clearBuffer(buffer, 0, bytes);
  }

  submit(): void {
    this.#end();
    this.#gpu.device.queue.submit([this.#encoder.finish()]);
  }

  #begin(label: string): GPUComputePassEncoder {
    const timestampWrites = this.#profiler?.begin(label);
    return this.#encoder.beginComputePass(timestampWrites === undefined ? {} : { timestampWrites });
  }

  #end(): void {
    this.#pass?.end();
    this.#pass = undefined;
    this.#kernel = undefined;
    this.#groups.length = 0;
  }
}
