import { KernelError } from "../backend.ts";
import { type Block, tensorShapes } from "../blocks.ts";
import type { Heap } from "./heap.ts";
import { blockedIndex, type Place } from "./tensors.ts";

/** All tensors of a block list as they arrive. */
export class Loaders {
  readonly #blocks: readonly Block[];
  readonly #loaders = new Map<string, Loader>();
  #blocksLoaded = 0;

  constructor(blocks: readonly Block[], places: Iterable<Place>) {
    this.#blocks = blocks;
    for (const place of places) this.#loaders.set(place.name, new Loader(place));
  }

  /** leading blocks whose tensors have all arrived. */
  get blocksLoaded(): number {
    return this.#blocksLoaded;
  }

  /** @throws KernelError when no block has the tensor, or the piece is not its next one */
  load(heap: Heap, tensor: string, offset: number, bytes: Uint8Array): void {
    const loader = this.#loaders.get(tensor);
    if (loader === undefined) throw new KernelError(`no block has a tensor "${tensor}"`);
    loader.load(heap, offset, bytes);
    while (loader.done && this.#isLoaded(this.#blocks[this.#blocksLoaded])) this.#blocksLoaded++;
  }

  #isLoaded(block: Block | undefined): boolean {
    return block !== undefined && [...tensorShapes(block).keys()].every((name) => this.#loaders.get(name)?.done);
  }
}

/** Copies the pieces of one tensor into kernel memory as they arrive, rearranging f32 on the way. */
export class Loader {
  readonly #place: Place;
  #arrived = 0;
  /** the bytes of an f32 that the last piece cut through. */
  readonly #cut = new Uint8Array(4);

  constructor(place: Place) {
    this.#place = place;
  }

  get done(): boolean {
    return this.#arrived === this.#place.spec.bytes;
  }

  /** @throws KernelError when the piece is not the next one, or too long */
  load(heap: Heap, offset: number, bytes: Uint8Array): void {
    const { name, spec } = this.#place;
    if (offset !== this.#arrived) {
      throw new KernelError(`tensor "${name}": byte ${this.#arrived} comes next, the piece starts at ${offset}`);
    }
    if (offset + bytes.length > spec.bytes) {
      throw new KernelError(`tensor "${name}" has ${spec.bytes} bytes, the piece ends at ${offset + bytes.length}`);
    }
    if (spec.encoding === "f32") this.#loadF32(heap.f32, offset, bytes);
    else heap.u8.set(bytes, this.#place.offset + offset);
    this.#arrived += bytes.length;
  }

  #loadF32(f32: Float32Array, offset: number, bytes: Uint8Array): void {
    let i = 0;
    for (; (offset + i) % 4 !== 0 && i < bytes.length; i++) {
      this.#cut[(offset + i) % 4] = bytes[i]!;
      if ((offset + i) % 4 === 3) this.#store(f32, (offset + i) >> 2, new DataView(this.#cut.buffer), 0, 1);
    }
    const whole = (bytes.length - i) >> 2;
    this.#store(f32, (offset + i) / 4, new DataView(bytes.buffer, bytes.byteOffset + i, 4 * whole), 0, whole);
    for (let at = i + 4 * whole; at < bytes.length; at++) this.#cut[(offset + at) % 4] = bytes[at]!;
  }

  /** `count` elements of the row-major tensor, from element `first` on. */
  #store(f32: Float32Array, first: number, values: DataView, at: number, count: number): void {
    const { name, offset, cols, lanes, factor } = this.#place;
    const base = offset / 4;
    let row = Math.floor(first / cols);
    let col = first % cols;
    for (let left = count; left > 0; ) {
      const run = Math.min(left, cols - col);
      let to = base + blockedIndex(row, col, cols, lanes);
      for (let k = 0; k < run; k++, at += 4, to += lanes) {
        const value = values.getFloat32(at, true);
        if (factor !== 1 && !(value <= 0 && value > Number.NEGATIVE_INFINITY)) {
          throw new KernelError(
            `tensor "${name}" (A) must be negative and finite, element ${row * cols + col + k} is ${value}`,
          );
        }
        f32[to] = factor * value;
      }
      left -= run;
      row++;
      col = 0;
    }
  }
}
