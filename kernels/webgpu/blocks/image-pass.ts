import { type ImageOutput, type ImagePass, KernelError, type ScanResponses } from "../../backend.ts";
import { outputWidth } from "../../blocks.ts";
import { SCANS } from "../../image-blocks.ts";
import type { Gpu } from "../gpu.ts";
import type { Readbacks } from "../readbacks.ts";
import { type Profiler, Recorder } from "../recorder.ts";
import type { ImagePlan } from "./image-plan.ts";
import type { ImageProgram } from "./image-program.ts";

/** What a pass needs of its executable. */
export interface ImageHost {
  /** @throws KernelError when disposed, WebGpuError when the device has failed */
  readonly gpu: Gpu;
  readonly plan: ImagePlan;
  readonly blocksLoaded: number;
  readonly readbacks: Readbacks;
  readonly profiler: Profiler | undefined;
  /** f32 (scans, positions) of the block that last answered. */
  readonly responses: GPUBuffer;
  isOpen(pass: WebGpuImagePass): boolean;
}

/** Where an image's outcome is in the readback buffer, in bytes. */
interface Place {
  readonly program: ImageProgram;
  readonly logits: number;
  readonly responses: number;
}

/** Block after block, and in a block image after image. */
export class WebGpuImagePass implements ImagePass {
  block = 0;
  readonly #host: ImageHost;
  readonly #observe: number | undefined;
  readonly #places: readonly Place[];
  readonly #bytes: number;
  #readback: GPUBuffer | undefined;
  #outputs: Promise<readonly ImageOutput[]> | undefined;

  constructor(host: ImageHost, programs: readonly ImageProgram[], observe: number | undefined) {
    this.#host = host;
    this.#observe = observe;
    let bytes = 0;
    this.#places = programs.map((program) => {
      const logits = bytes;
      const responses = logits + 4 * outputWidth(host.plan.blocks);
      bytes = responses + 4 * this.#answers(program);
      return { program, logits, responses };
    });
    this.#bytes = bytes;
  }

  advance(end = this.#host.plan.blocks.length): void {
    if (!this.#host.isOpen(this)) throw new KernelError("another pass was opened since, or the executable disposed");
    const { gpu, plan, blocksLoaded, profiler } = this.#host;
    if (end > blocksLoaded) throw new KernelError(`block ${blocksLoaded} is not loaded yet: load its tensors first`);
    if (this.block >= end) return;
    const recorder = new Recorder(gpu, profiler);
    for (; this.block < end; this.block++) {
      for (const place of this.#places) {
        place.program.run(recorder, this.block);
        if (this.block === this.#observe) this.#respond(recorder, place);
        if (this.block === plan.blocks.length - 1) this.#keepLogits(recorder, place);
      }
    }
    recorder.submit();
  }

  read(): Promise<readonly ImageOutput[]> {
    this.#outputs ??= this.#read();
    return this.#outputs;
  }

  /** How many responses of an image come back. */
  #answers({ sizes }: ImageProgram): number {
    if (this.#observe === undefined) return 0;
    const { height, width } = sizes[this.#observe]!;
    return SCANS * height * width;
  }

  get #back(): GPUBuffer {
    this.#readback ??= this.#host.readbacks.take(this.#bytes);
    return this.#readback;
  }

  #respond(recorder: Recorder, { program, responses }: Place): void {
    program.respond(recorder, this.block);
    recorder.copy(this.#host.responses, 0, this.#back, responses, 4 * this.#answers(program));
  }

  #keepLogits(recorder: Recorder, { program, logits }: Place): void {
    recorder.copy(program.logits, 0, this.#back, logits, 4 * outputWidth(this.#host.plan.blocks));
  }

  async #read(): Promise<readonly ImageOutput[]> {
    const { gpu, plan, readbacks } = this.#host;
    const total = plan.blocks.length;
    if (this.block < total) {
      this.#outputs = undefined;
      throw new KernelError(`only ${this.block} of ${total} blocks are done: advance the pass first`);
    }
    const bytes = await gpu.map(this.#back, this.#bytes);
    readbacks.give(this.#back);
    return this.#places.map(({ program, logits, responses }) => ({
      logits: new Float32Array(bytes.slice(logits, logits + 4 * outputWidth(plan.blocks))),
      ...(this.#observe !== undefined && { responses: this.#responsesOf(program, this.#observe, bytes, responses) }),
    }));
  }

  #responsesOf(program: ImageProgram, observe: number, bytes: ArrayBuffer, at: number): ScanResponses {
    const { height, width } = program.sizes[observe]!;
    return { height, width, values: new Float32Array(bytes.slice(at, at + 4 * SCANS * height * width)) };
  }
}
