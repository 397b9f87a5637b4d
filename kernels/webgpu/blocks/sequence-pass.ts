import { KernelError, type Pass, type Span, type SpanOutput } from "../../backend.ts";
import { inputWidth, outputWidth } from "../../blocks.ts";
import { spanLength } from "../../check.ts";
import type { Gpu } from "../gpu.ts";
import type { Readbacks } from "../readbacks.ts";
import { type Profiler, Recorder } from "../recorder.ts";
import type { SequenceBlocks, SpanFlight, Traffic } from "./sequence-blocks.ts";
import type { SequenceHead } from "./sequence-head.ts";
import { readbackBytes, readRows, type WantedRows, wantedRows } from "./sequence-outputs.ts";
import type { SequencePlan } from "./sequence-plan.ts";
import type { BlockState } from "./sequence-state.ts";

/** What a pass needs of its executable. */
export interface SequenceHost {
  /** @throws KernelError when disposed, WebGpuError when the device has failed */
  readonly gpu: Gpu;
  readonly plan: SequencePlan;
  readonly work: SequenceBlocks;
  readonly head: SequenceHead | undefined;
  readonly readbacks: Readbacks;
  readonly profiler: Profiler | undefined;
  readonly blocksLoaded: number;
  isOpen(pass: Pass): boolean;
  /** Tells the kernels what the spans hold and where they lie. */
  place(spans: readonly Span[], flights: readonly SpanFlight[]): readonly GPUBindGroup[];
}

export class SequencePass implements Pass {
  block = 0;
  /** kernels launched so far. */
  dispatches = 0;
  readonly #host: SequenceHost;
  readonly #spans: readonly Span[];
  readonly #traffic: Traffic;
  readonly #wanted: WantedRows;
  #readback: GPUBuffer | undefined;
  #outputs: Promise<readonly SpanOutput[]> | undefined;

  constructor(host: SequenceHost, spans: readonly Span[]) {
    this.#host = host;
    this.#spans = spans;
    const width = inputWidth(host.plan.blocks);
    let tokens = 0;
    const flights = spans.map((span): SpanFlight => {
      const flight = { state: span.state as BlockState, first: tokens, count: spanLength(span, width) };
      tokens += flight.count;
      return flight;
    });
    this.#wanted = wantedRows(spans, flights);
    this.#traffic = { flights, spans: host.place(spans, flights), tokens };
    if (this.#wanted.rows.length > 0) host.head!.place(this.#wanted);
  }

  advance(end = this.#host.plan.blocks.length): void {
    const { gpu, plan, work, blocksLoaded, profiler } = this.#host;
    if (!this.#host.isOpen(this))
      throw new KernelError("another pass was opened since: this one can no longer advance");
    if (end > blocksLoaded) throw new KernelError(`block ${blocksLoaded} is not loaded yet: load its tensors first`);
    if (this.block >= end) return;
    const recorder = new Recorder(gpu, profiler);
    for (; this.block < end; this.block++) {
      if (plan.blocks[this.block]!.kind === "head") this.#runHead(recorder);
      else work.works[this.block]!(recorder, this.#traffic);
    }
    recorder.submit();
    this.dispatches += recorder.dispatches;
    if (this.block < plan.blocks.length) return;
    for (const { state, count } of this.#traffic.flights) state.advance(count);
  }

  #runHead(recorder: Recorder): void {
    if (this.#wanted.rows.length === 0) return;
    const { head, plan, readbacks } = this.#host;
    this.#readback = readbacks.take(readbackBytes(this.#wanted, plan.strides.logits));
    head!.run(recorder, this.#wanted, this.#readback);
  }

  read(): Promise<readonly SpanOutput[]> {
    this.#outputs ??= this.#read();
    return this.#outputs;
  }

  async #read(): Promise<readonly SpanOutput[]> {
    const { gpu, plan, readbacks } = this.#host;
    const { blocks, strides } = plan;
    if (this.block < blocks.length) {
      this.#outputs = undefined;
      throw new KernelError(`only ${this.block} of ${blocks.length} blocks are done: advance the pass first`);
    }
    let bytes = new ArrayBuffer(0);
    if (this.#readback === undefined) {
      await gpu.device.queue.onSubmittedWorkDone();
      gpu.check();
    } else {
      bytes = await gpu.map(this.#readback, readbackBytes(this.#wanted, strides.logits));
      readbacks.give(this.#readback);
    }
    return readRows(this.#wanted, this.#spans, bytes, strides.logits, outputWidth(blocks));
  }
}
