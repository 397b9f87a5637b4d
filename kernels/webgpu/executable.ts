import { type Executable, KernelError, type MemoryPlan, type Pass, SAMPLED, type Span } from "../backend.ts";
import type { Block } from "../blocks.ts";
import { checkSpans } from "../check.ts";
import type { StatePart } from "../state.ts";
import { Batch } from "./batch.ts";
import { Decode } from "./decode.ts";
import { Head } from "./head.ts";
import type { KernelChoice, ModelKernels } from "./kernels.ts";
import type { GpuModel } from "./model.ts";
import { type PassHost, WebGpuPass } from "./pass.ts";
import { Readbacks } from "./readbacks.ts";
import type { Profiler } from "./recorder.ts";
import { StatePool, WebGpuState } from "./states.ts";

/** A block list on a device. */
export class WebGpuExecutable implements Executable, PassHost {
  readonly samples = true;
  readonly decode: Decode;
  readonly batch: Batch;
  readonly head: Head;
  readonly readbacks: Readbacks;
  /** For a profile: every dispatch in a compute pass of its own. */
  profiler: Profiler | undefined;
  readonly #model: GpuModel;
  readonly #compileKernels: (choice: KernelChoice) => Promise<ModelKernels>;
  readonly #pool: StatePool;
  #disposed = false;
  #blocksLoaded = 0;
  #pass: Pass | undefined;

  constructor(model: GpuModel, compileKernels: (choice: KernelChoice) => Promise<ModelKernels>) {
    this.#model = model;
    this.#compileKernels = compileKernels;
    this.#pool = new StatePool(model.gpu, model.pipelines, model.plan);
    this.decode = new Decode(model);
    this.batch = new Batch(model);
    this.head = new Head(model);
    this.readbacks = new Readbacks(model.gpu);
  }

  /** @throws KernelError when disposed, WebGpuError when the device has failed */
  get model(): GpuModel {
    if (this.#disposed) throw new KernelError("this executable was disposed: compile the model again");
    this.#model.gpu.check();
    return this.#model;
  }

  get blocks(): readonly Block[] {
    return this.#model.plan.blocks;
  }

  get stateLayout(): readonly StatePart[] {
    return this.#pool.parts;
  }

  get memory(): MemoryPlan {
    return this.#model.plan.memory;
  }

  get maxTokens(): number {
    return this.#model.plan.maxTokens;
  }

  get maxSequences(): number {
    return this.#model.plan.maxSequences;
  }

  get blocksLoaded(): number {
    return this.#blocksLoaded;
  }

  load(tensor: string, offset: number, bytes: Uint8Array): void {
    const { weights, plan } = this.model;
    weights.load(tensor, offset, bytes);
    while (plan.names[this.#blocksLoaded]?.every((name) => weights.isLoaded(name))) this.#blocksLoaded++;
  }

  createState(): WebGpuState {
    this.model.gpu.check();
    return new WebGpuState(this.#pool);
  }

  begin(spans: readonly Span[]): WebGpuPass {
    this.model.gpu.check();
    checkSpans(this, spans);
    spans.forEach(({ state, tokens }, i) => {
      if (!(state instanceof WebGpuState) || state.pool !== this.#pool) {
        throw new KernelError(`the state of span ${i} belongs to another executable: use read and write to move it`);
      }
      if (tokens === SAMPLED && !state.hasToken) {
        throw new KernelError(
          `span ${i} takes the token chosen last, but its state's last pass chose none: give the id`,
        );
      }
    });
    const pass = new WebGpuPass(this, spans);
    this.#pass = pass;
    return pass;
  }

  run(spans: readonly Span[]): WebGpuPass {
    const pass = this.begin(spans);
    pass.advance();
    return pass;
  }

  /** Computes with these kernels from the next pass on; weights and states stay as they are. @throws WebGpuError, changing nothing */
  async use(choice: KernelChoice): Promise<void> {
    this.model.kernels = await this.#compileKernels(choice);
  }

  isOpen(pass: Pass): boolean {
    return this.#pass === pass;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#pass = undefined;
    const { gpu, weights, activations, params } = this.#model;
    for (const state of [...this.#pool.live]) state.dispose();
    weights.dispose();
    for (const buffer of activations.all) gpu.free(buffer);
    params.dispose();
    this.readbacks.dispose();
  }
}
