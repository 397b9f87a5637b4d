import { type Gpu, USAGE } from "./gpu.ts";

/** Buffers that results come back in. One is taken for each pass on its way and given back when it was read. */
export class Readbacks {
  readonly #gpu: Gpu;
  readonly #free: GPUBuffer[] = [];
  readonly #all = new Set<GPUBuffer>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  take(bytes: number): GPUBuffer {
    const size = 2 ** Math.ceil(Math.log2(Math.max(256, bytes)));
    const index = this.#free.findIndex((b) => b.size === size);
    if (index >= 0) return this.#free.splice(index, 1)[0]!;
    const buffer = this.#gpu.buffer("readback", size, USAGE.mapRead | USAGE.copyDst);
    this.#all.add(buffer);
    return buffer;
  }

  give(buffer: GPUBuffer): void {
    if (this.#all.has(buffer)) this.#free.push(buffer);
  }

  dispose(): void {
    for (const buffer of this.#all) this.#gpu.free(buffer);
    this.#all.clear();
    this.#free.length = 0;
  }
}
