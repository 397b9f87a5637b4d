import { type Gpu, USAGE } from "./gpu.ts";
import type { Slice } from "./pipelines.ts";

/** Bytes from one record to the next: what a uniform binding's offset must be a multiple of (WebGPU's default limit). */
const STRIDE = 256;
const SLOTS = 64;

/** A word of a record that holds an f32. */
export function f32Word(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

/** Small records that kernels read as uniforms, written once. Equal records are one. */
export class Params {
  readonly #gpu: Gpu;
  readonly #records = new Map<string, Slice>();
  readonly #buffers: GPUBuffer[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** @param words u32s in the order of the kernel's struct */
  record(...words: number[]): Slice {
    const key = words.join();
    let slice = this.#records.get(key);
    if (slice === undefined) {
      slice = this.fresh();
      this.#gpu.device.queue.writeBuffer(slice.buffer, slice.offset!, Uint32Array.from(words));
      this.#records.set(key, slice);
    }
    return slice;
  }

  #slots = SLOTS;

  /** A record of its own, to be written whenever the need arises. */
  fresh(): Slice {
    if (this.#slots === SLOTS) {
      this.#buffers.push(this.#gpu.buffer("params", STRIDE * SLOTS, USAGE.uniform | USAGE.copyDst));
      this.#slots = 0;
    }
    return { buffer: this.#buffers.at(-1)!, offset: STRIDE * this.#slots++, size: 128 };
  }

  dispose(): void {
    for (const buffer of this.#buffers) this.#gpu.free(buffer);
    this.#buffers.length = 0;
  }
}
