import { KernelError, type Pass, SAMPLED, type Span, type SpanOutput } from "../backend.ts";
import type { Batch, Flight } from "./batch.ts";
import type { Decode } from "./decode.ts";
import { type Head, readOutputs, type Wanted, wantedRows } from "./head.ts";
import type { GpuModel } from "./model.ts";
import type { Readbacks } from "./readbacks.ts";
import { type Profiler, Recorder } from "./recorder.ts";
import type { WebGpuState } from "./states.ts";
import { NOT_FINITE } from "./wgsl/candidate.ts";

/** Blocks of a prompt that go to the GPU together. */
const PROMPT_BLOCKS = 2;

/** What a pass needs of its executable. */
export interface PassHost {
  readonly model: GpuModel;
  readonly decode: Decode;
  readonly batch: Batch;
  readonly head: Head;
  readonly readbacks: Readbacks;
  readonly blocksLoaded: number;
  readonly profiler: Profiler | undefined;
  isOpen(pass: Pass): boolean;
}

export class WebGpuPass implements Pass {
  block = 0;
  /** kernels launched so far. */
  dispatches = 0;
  readonly #host: PassHost;
  readonly #spans: readonly Span[];
  readonly #flights: readonly Flight[];
  readonly #tokens: number;
  readonly #wanted: Wanted;
  #readback: GPUBuffer | undefined;
  #outputs: Promise<readonly SpanOutput[]> | undefined;

  constructor(host: PassHost, spans: readonly Span[]) {
    this.#host = host;
    this.#spans = spans;
    const { gpu, plan, activations } = host.model;
    let first = 0;
    this.#flights = spans.map(({ state, tokens }) => {
      const flight = { state: state as WebGpuState, first, count: tokens.length };
      first += tokens.length;
      return flight;
    });
    this.#tokens = first;
    this.#wanted = wantedRows(spans, this.#flights, plan.head.vocab);
    if (this.#single) {
      if (spans[0]!.tokens !== SAMPLED) this.#flights[0]!.state.give(spans[0]!.tokens[0]!);
    } else if (spans.some((s) => s.tokens !== SAMPLED)) {
      const ids = new Uint32Array(first);
      spans.forEach(({ tokens }, i) => {
        if (tokens !== SAMPLED) ids.set(Array.from(tokens), this.#flights[i]!.first);
      });
      gpu.device.queue.writeBuffer(activations.tokens, 0, ids);
    }
    if (!this.#single) {
      host.batch.place(this.#flights);
      host.head.place(this.#wanted);
    }
    spans.forEach(({ sample }, i) => {
      const { state } = this.#flights[i]!;
      if (sample !== undefined) state.prepare(sample);
    });
  }

  /** One token of one sequence: the fused kernels'. */
  get #single(): boolean {
    return this.#tokens === 1 && this.#spans[0]!.targets === undefined;
  }

  advance(end = this.#host.model.plan.blocks.length): void {
    const { model, blocksLoaded, profiler } = this.#host;
    if (!this.#host.isOpen(this))
      throw new KernelError("another pass was opened since: this one can no longer advance");
    if (end > blocksLoaded) throw new KernelError(`block ${blocksLoaded} is not loaded yet`);
    if (this.block >= end) return;
    while (this.block < end) {
      const recorder = new Recorder(model.gpu, profiler);
      if (this.block === 0) this.#takeSampled(recorder);
      const last = Math.min(end, this.block + this.#blocksAtOnce);
      for (; this.block < last; this.block++) this.#encode(recorder);
      recorder.submit();
      this.dispatches += recorder.dispatches;
    }
  }

  /** Of a submission. The host runs ahead of one token after another; with a prompt it does not, and the GPU should not wait for it. */
  get #blocksAtOnce(): number {
    return this.#single ? Number.POSITIVE_INFINITY : PROMPT_BLOCKS;
  }

  /** Tokens that the host does not know are in their states' buffers, where one alone takes its own from. */
  #takeSampled(recorder: Recorder): void {
    this.#spans.forEach(({ tokens, sample }, i) => {
      const { state, first } = this.#flights[i]!;
      if (tokens === SAMPLED && !this.#single) {
        recorder.copy(state.buffer, state.control, this.#host.model.activations.tokens, 4 * first, 4);
      }
      state.hasToken = sample !== undefined;
    });
  }

  #encode(recorder: Recorder): void {
    const { model, decode, batch, head, readbacks } = this.#host;
    const rows = this.#wanted.rows.length;
    switch (model.plan.blocks[this.block]!.kind) {
      case "embedding":
        if (this.#single) decode.embed(recorder, this.#flights[0]!.state);
        else batch.embed(recorder, this.#tokens);
        break;
      case "mamba":
        if (this.#single) decode.mamba(recorder, this.block - 1, this.#flights[0]!.state);
        else batch.mamba(recorder, this.block - 1, this.#flights, this.#tokens);
        break;
      case "norm":
        if (rows === 0) break;
        if (this.#single) decode.norm(recorder);
        else batch.norm(recorder, rows);
        break;
      case "head":
        if (rows === 0) break;
        this.#readback = readbacks.take(this.#wanted.bytes);
        head.run(recorder, this.#wanted, this.#readback);
        break;
    }
  }

  read(): Promise<readonly SpanOutput[]> {
    this.#outputs ??= this.#read();
    return this.#outputs;
  }

  async #read(): Promise<readonly SpanOutput[]> {
    const { model, readbacks } = this.#host;
    const { blocks, head } = model.plan;
    if (this.block < blocks.length) {
      this.#outputs = undefined;
      throw new KernelError(`only ${this.block} of ${blocks.length} blocks are done: advance the pass first`);
    }
    if (this.#readback === undefined) {
      await model.gpu.device.queue.onSubmittedWorkDone();
      model.gpu.check();
      return readOutputs(this.#wanted, this.#spans, new ArrayBuffer(0), head.vocab);
    }
    const bytes = await model.gpu.map(this.#readback, this.#wanted.bytes);
    readbacks.give(this.#readback);
    const outputs = readOutputs(this.#wanted, this.#spans, bytes, head.vocab);
    const bad = outputs.findIndex((o) => o.token === NOT_FINITE);
    if (bad >= 0) throw new KernelError(`the logits of span ${bad} are not finite: no token can be chosen from them`);
    return outputs;
  }
}
