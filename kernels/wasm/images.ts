import {
  type Executable,
  type ImageInput,
  type ImageOutput,
  type ImagePass,
  type ImageRunner,
  KernelError,
  type MemoryPlan,
  type ScanResponses,
} from "../backend.ts";
import { checkImages } from "../check-images.ts";
import { type ImageBlock, type ImageSize, imageChannels, imageSizes } from "../image-blocks.ts";
import { WithoutSequences } from "../without-sequences.ts";
import { Heap } from "./heap.ts";
import { type ImageLayout, imageNeeds } from "./image-layout.ts";
import { runImageBlock, scanResponses } from "./image-steps.ts";
import type { Kernels } from "./kernels.ts";
import { Loaders } from "./loader.ts";

/** An image model in a WebAssembly.Memory of its own. */
export class WasmImageExecutable extends WithoutSequences implements Executable {
  readonly layout: ImageLayout;
  readonly images: ImageRunner;
  readonly #loaders: Loaders;
  #live: { readonly kernels: Kernels; readonly heap: Heap } | undefined;
  #pass: ImagePass | undefined;

  constructor(layout: ImageLayout, kernels: Kernels, memory: WebAssembly.Memory) {
    super();
    this.layout = layout;
    this.#live = { kernels, heap: new Heap(memory) };
    this.#loaders = new Loaders(layout.blocks, layout.places.values());
    const { maxImage, maxImages } = layout;
    this.images = { maxImage, maxImages, begin: (images, observe) => this.#begin(images, observe) };
  }

  get blocks(): readonly ImageBlock[] {
    return this.layout.blocks;
  }

  get memory(): MemoryPlan {
    return this.layout.memory;
  }

  get blocksLoaded(): number {
    return this.#loaders.blocksLoaded;
  }

  get alive(): { readonly kernels: Kernels; readonly heap: Heap } {
    if (this.#live === undefined) throw new KernelError("this executable was disposed: compile the model again");
    return this.#live;
  }

  load(tensor: string, offset: number, bytes: Uint8Array): void {
    this.#loaders.load(this.alive.heap, tensor, offset, bytes);
  }

  isOpen(pass: ImagePass): boolean {
    return this.#pass === pass;
  }

  dispose(): void {
    this.#live = undefined;
    this.#pass = undefined;
  }

  #begin(images: readonly ImageInput[], observe: number | undefined): ImagePass {
    const { heap } = this.alive;
    checkImages(this.blocks, this.layout.maxImages, images, observe);
    images.forEach(({ height, width }, i) => {
      const needs = imageNeeds(this.blocks, { height, width });
      for (const [name, floats] of Object.entries(this.layout.floats)) {
        if (needs[name as keyof typeof needs] <= floats) continue;
        const { maxImage } = this.layout;
        throw new KernelError(
          `image ${i} of ${height} × ${width} needs more memory than one of ${maxImage.height} × ${maxImage.width}, which this model was compiled for: make it smaller, or compile with a larger maxImage`,
        );
      }
    });
    const pass = new WasmImagePass(this, images, observe);
    images.forEach((image, i) => {
      putPixels(heap, pass.address(i), image, imageChannels(this.blocks));
    });
    this.#pass = pass;
    return pass;
  }
}

/** (channels, height, width) → (height · width, channels). */
function putPixels({ f32 }: Heap, address: number, { height, width, pixels }: ImageInput, channels: number): void {
  const area = height * width;
  const at = address / 4;
  for (let c = 0; c < channels; c++) {
    for (let p = 0; p < area; p++) f32[at + p * channels + c] = pixels[c * area + p]!;
  }
}

/** Block after block, and in a block image after image: each gets what it would get alone, from weights that are in the cache. */
class WasmImagePass implements ImagePass {
  block = 0;
  readonly #host: WasmImageExecutable;
  readonly #sizes: readonly (readonly ImageSize[])[];
  readonly #observe: number | undefined;
  readonly #responses: ScanResponses[] = [];
  readonly #logits: Float32Array[] = [];

  constructor(host: WasmImageExecutable, images: readonly ImageInput[], observe: number | undefined) {
    this.#host = host;
    this.#observe = observe;
    this.#sizes = images.map(({ height, width }) => imageSizes(host.blocks, { height, width }));
  }

  /** Of an image's stream. */
  address(image: number): number {
    const { buffers, floats } = this.#host.layout;
    return buffers.u + 4 * image * floats.u;
  }

  advance(end = this.#host.blocks.length): void {
    const { layout, blocksLoaded } = this.#host;
    if (!this.#host.isOpen(this)) throw new KernelError("another pass was opened since, or the executable disposed");
    const { kernels, heap } = this.#host.alive;
    for (; this.block < end; this.block++) {
      if (this.block >= blocksLoaded)
        throw new KernelError(`block ${this.block} is not loaded yet: load its tensors first`);
      const block = this.#host.blocks[this.block]!;
      this.#sizes.forEach((sizes, i) => {
        const size = sizes[this.block]!;
        runImageBlock(kernels, heap, layout, block, this.address(i), size, this.block === 0);
        if (this.block === this.#observe && block.kind === "ss2d") {
          const values = scanResponses(kernels, heap, layout, block, size);
          this.#responses[i] = { ...size, values };
        }
        if (block.kind === "head")
          this.#logits[i] = heap.f32.slice(this.address(i) / 4, this.address(i) / 4 + block.vocab);
      });
    }
  }

  async read(): Promise<readonly ImageOutput[]> {
    const total = this.#host.blocks.length;
    if (this.block < total)
      throw new KernelError(`only ${this.block} of ${total} blocks are done: advance the pass to the end first`);
    return this.#logits.map((logits, i) => ({
      logits,
      ...(this.#responses[i] && { responses: this.#responses[i] }),
    }));
  }
}
