import { type Executable, type ImageInput, type ImageRunner, KernelError, type MemoryPlan } from "../../backend.ts";
import { checkImages } from "../../check-images.ts";
import type { ImageBlock } from "../../image-blocks.ts";
import { WithoutSequences } from "../../without-sequences.ts";
import type { Gpu } from "../gpu.ts";
import type { Pipelines } from "../pipelines.ts";
import { Readbacks } from "../readbacks.ts";
import type { Profiler } from "../recorder.ts";
import { type ImageHost, WebGpuImagePass } from "./image-pass.ts";
import { type ImageFloats, type ImagePlan, imageFloats } from "./image-plan.ts";
import { type ImageBuffers, ImageProgram } from "./image-program.ts";
import type { BlockKernels } from "./kernels.ts";
import { TensorStore } from "./tensors.ts";

type Shared = Exclude<keyof ImageFloats, "even" | "odd">;

/** An image model on a device. Images go through it one after the other; each size has its launches made once. */
export class ImageExecutable extends WithoutSequences implements Executable, ImageHost {
  readonly plan: ImagePlan;
  readonly images: ImageRunner;
  readonly readbacks: Readbacks;
  /** For a profile: see recorder.ts. */
  profiler: Profiler | undefined;
  readonly #gpu: Gpu;
  readonly #pipelines: Pipelines;
  readonly #kernels: BlockKernels;
  readonly #tensors: TensorStore;
  readonly #shared: Readonly<Record<Shared, GPUBuffer>>;
  readonly #places: readonly { readonly even: GPUBuffer; readonly odd: GPUBuffer }[];
  /** by place and size, those used last at the end. */
  readonly #programs = new Map<string, ImageProgram>();
  #disposed = false;
  #pass: WebGpuImagePass | undefined;

  constructor(gpu: Gpu, pipelines: Pipelines, kernels: BlockKernels, plan: ImagePlan) {
    super();
    this.#gpu = gpu;
    this.#pipelines = pipelines;
    this.#kernels = kernels;
    this.plan = plan;
    this.readbacks = new Readbacks(gpu);
    this.#tensors = new TensorStore(gpu, plan.tensors);
    const { even, odd, ...shared } = plan.floats;
    this.#shared = Object.fromEntries(
      Object.entries(shared).map(([name, floats]) => [name, gpu.buffer(name, 4 * floats)]),
    ) as Record<Shared, GPUBuffer>;
    this.#places = Array.from({ length: plan.maxImages }, () => ({
      even: gpu.buffer("even", 4 * even),
      odd: gpu.buffer("odd", 4 * odd),
    }));
    const { maxImage, maxImages } = plan;
    this.images = { maxImage, maxImages, begin: (images, observe) => this.#begin(images, observe) };
  }

  get gpu(): Gpu {
    if (this.#disposed) throw new KernelError("this executable was disposed: compile the model again");
    this.#gpu.check();
    return this.#gpu;
  }

  get blocks(): readonly ImageBlock[] {
    return this.plan.blocks;
  }

  get memory(): MemoryPlan {
    return this.plan.memory;
  }

  get blocksLoaded(): number {
    return this.#tensors.blocksLoaded;
  }

  get responses(): GPUBuffer {
    return this.#shared.responses;
  }

  load(tensor: string, offset: number, bytes: Uint8Array): void {
    this.gpu.check();
    this.#tensors.load(tensor, offset, bytes);
  }

  isOpen(pass: WebGpuImagePass): boolean {
    return this.#pass === pass;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#pass = undefined;
    for (const program of this.#programs.values()) program.dispose();
    this.#tensors.dispose();
    const places = this.#places.flatMap(({ even, odd }) => [even, odd]);
    for (const buffer of [...Object.values(this.#shared), ...places]) this.#gpu.free(buffer);
    this.readbacks.dispose();
  }

  #begin(images: readonly ImageInput[], observe: number | undefined): WebGpuImagePass {
    const { device } = this.gpu;
    checkImages(this.blocks, this.plan.maxImages, images, observe);
    images.forEach((image, i) => {
      this.#checkFits(image, i);
    });
    const programs = images.map((image, i) => {
      device.queue.writeBuffer(this.#places[i]!.even, 0, image.pixels as Float32Array<ArrayBuffer>);
      return this.#program(i, image);
    });
    this.#forgetOldest();
    const pass = new WebGpuImagePass(this, programs, observe);
    this.#pass = pass;
    return pass;
  }

  #checkFits({ height, width }: ImageInput, image: number): void {
    const { floats, maxImage } = this.plan;
    const needs = imageFloats(this.blocks, { height, width });
    for (const [name, count] of Object.entries(floats)) {
      if (needs[name as keyof ImageFloats] <= count) continue;
      throw new KernelError(
        `image ${image} of ${height} × ${width} needs more memory than one of ${maxImage.height} × ${maxImage.width}, which this model was compiled for: make it smaller, or compile with a larger maxImage`,
      );
    }
  }

  #program(place: number, { height, width }: ImageInput): ImageProgram {
    const key = `${place} ${height} ${width}`;
    let program = this.#programs.get(key);
    if (program === undefined) {
      const buffers: ImageBuffers = { ...this.#shared, ...this.#places[place]! };
      const made = [this.#gpu, this.#pipelines, this.#kernels, this.#tensors] as const;
      program = new ImageProgram(...made, this.blocks, buffers, { height, width });
    }
    this.#programs.delete(key);
    this.#programs.set(key, program);
    return program;
  }

  /** Twice as many as a pass has are kept. */
  #forgetOldest(): void {
    for (const [key, program] of this.#programs) {
      if (this.#programs.size <= 2 * this.plan.maxImages) return;
      this.#programs.delete(key);
      program.dispose();
    }
  }
}
