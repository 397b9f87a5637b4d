import { type Executable, KernelError, type MemoryPlan, type Pass, type Span } from "../../backend.ts";
import { type Block, inputWidth } from "../../blocks.ts";
import { checkSpans } from "../../check.ts";
import type { StatePart } from "../../state.ts";
import type { Gpu } from "../gpu.ts";
import { Params } from "../params.ts";
import type { Pipelines } from "../pipelines.ts";
import { Readbacks } from "../readbacks.ts";
import type { Profiler } from "../recorder.ts";
import type { BlockKernels } from "./kernels.ts";
import { Launches } from "./launches.ts";
import { SequenceBlocks, type SpanFlight } from "./sequence-blocks.ts";
import { SequenceHead } from "./sequence-head.ts";
import { type SequenceHost, SequencePass } from "./sequence-pass.ts";
import type { SequenceBuffer, SequencePlan } from "./sequence-plan.ts";
import { BlockState, BlockStates } from "./sequence-state.ts";
import { TensorStore } from "./tensors.ts";

/** Any list of blocks that sequences go through, on a device. Tokens are chosen by the host. */
export class SequenceExecutable implements Executable, SequenceHost {
  readonly plan: SequencePlan;
  readonly work: SequenceBlocks;
  readonly head: SequenceHead | undefined;
  readonly readbacks: Readbacks;
  /** For a profile: see recorder.ts. */
  profiler: Profiler | undefined;
  readonly #gpu: Gpu;
  readonly #tensors: TensorStore;
  readonly #params: Params;
  readonly #states: BlockStates;
  readonly #buffers: readonly GPUBuffer[];
  readonly #tokens: GPUBuffer;
  readonly #vectors: GPUBuffer;
  readonly #spans: readonly { readonly buffer: GPUBuffer; readonly offset: number; readonly group: GPUBindGroup }[];
  #disposed = false;
  #pass: Pass | undefined;

  constructor(gpu: Gpu, pipelines: Pipelines, kernels: BlockKernels, plan: SequencePlan) {
    this.#gpu = gpu;
    this.plan = plan;
    this.#tensors = new TensorStore(gpu, plan.tensors);
    this.#params = new Params(gpu);
    this.#states = new BlockStates(gpu, pipelines, plan);
    this.readbacks = new Readbacks(gpu);
    const all: GPUBuffer[] = [];
    const buffer = (label: string, bytes: number): GPUBuffer => {
      all.push(gpu.buffer(label, bytes));
      return all.at(-1)!;
    };
    const named = Object.fromEntries(
      Object.entries(plan.strides).map(([name, stride]) => [
        name,
        buffer(name, 4 * stride * plan.rows(name as SequenceBuffer)),
      ]),
    ) as Record<SequenceBuffer, GPUBuffer>;
    const words = (label: string): GPUBuffer => buffer(label, 4 * plan.rows("u"));
    this.#tokens = words("tokens");
    this.#vectors = named.vectors;
    const make = new Launches(kernels, pipelines, this.#params, this.#tensors);
    this.work = new SequenceBlocks(make, plan, { ...named, tokens: this.#tokens });
    const last = plan.blocks.at(-1)!;
    if (last.kind === "head") {
      const lists = { rows: words("rows"), targets: words("targets"), scores: words("scores") };
      this.head = new SequenceHead(gpu, make, last, plan.blocks.length - 1, this.work.stream, {
        picked: { buffer: named.normed, stride: plan.strides.normed },
        logits: { buffer: named.logits, stride: plan.strides.logits },
        ...lists,
      });
    }
    this.#spans = Array.from({ length: plan.maxSequences }, () => {
      const { buffer, offset = 0 } = this.#params.fresh();
      return { buffer, offset, group: pipelines.bind("u", [{ buffer, offset, size: 16 }]) };
    });
    this.#buffers = all;
  }

  get gpu(): Gpu {
    if (this.#disposed) throw new KernelError("this executable was disposed: compile the model again");
    this.#gpu.check();
    return this.#gpu;
  }

  get blocks(): readonly Block[] {
    return this.plan.blocks;
  }

  get stateLayout(): readonly StatePart[] {
    return this.#states.parts;
  }

  get memory(): MemoryPlan {
    return this.plan.memory;
  }

  get maxTokens(): number {
    return this.plan.maxTokens;
  }

  get maxSequences(): number {
    return this.plan.maxSequences;
  }

  get blocksLoaded(): number {
    return this.#tensors.blocksLoaded;
  }

  load(tensor: string, offset: number, bytes: Uint8Array): void {
    this.gpu.check();
    this.#tensors.load(tensor, offset, bytes);
  }

  createState(): BlockState {
    this.gpu.check();
    return new BlockState(this.#states);
  }

  begin(spans: readonly Span[]): SequencePass {
    this.gpu.check();
    checkSpans(this, spans);
    spans.forEach(({ state, logits = "none", targets }, i) => {
      if (!(state instanceof BlockState) || state.shared !== this.#states) {
        throw new KernelError(`the state of span ${i} belongs to another executable: use read and write to move it`);
      }
      if (this.head === undefined && (logits !== "none" || targets !== undefined)) {
        throw new KernelError(`span ${i} asks for logits or targets, but the model has no head`);
      }
    });
    const pass = new SequencePass(this, spans);
    this.#pass = pass;
    return pass;
  }

  run(spans: readonly Span[]): SequencePass {
    const pass = this.begin(spans);
    pass.advance();
    return pass;
  }

  isOpen(pass: Pass): boolean {
    return this.#pass === pass;
  }

  place(spans: readonly Span[], flights: readonly SpanFlight[]): readonly GPUBindGroup[] {
    const { queue } = this.gpu.device;
    const width = inputWidth(this.blocks);
    spans.forEach(({ tokens, vectors }, i) => {
      const { first, count, state } = flights[i]!;
      const { buffer, offset } = this.#spans[i]!;
      queue.writeBuffer(buffer, offset, Uint32Array.of(first, count, state.positions, 0));
      if (vectors === undefined) {
        queue.writeBuffer(this.#tokens, 4 * first, Uint32Array.from(tokens));
        return;
      }
      const stride = this.plan.strides.vectors;
      const rows = new Float32Array(count * stride);
      for (let t = 0; t < count; t++) rows.set(vectors.subarray(t * width, (t + 1) * width), t * stride);
      queue.writeBuffer(this.#vectors, 4 * first * stride, rows);
    });
    return spans.map((_, i) => this.#spans[i]!.group);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#pass = undefined;
    this.#states.dispose();
    this.#tensors.dispose();
    for (const buffer of this.#buffers) this.#gpu.free(buffer);
    this.#params.dispose();
    this.readbacks.dispose();
  }
}
