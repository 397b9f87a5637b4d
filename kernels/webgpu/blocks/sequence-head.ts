import type { HeadBlock } from "../../blocks.ts";
import type { Gpu } from "../gpu.ts";
import type { Recorder } from "../recorder.ts";
import { CHANNELS } from "../wgsl/elementwise.ts";
import { type Launch, type Launches, launch, type Rows } from "./launches.ts";
import type { WantedRows } from "./sequence-outputs.ts";
import { HEAD_ROWS } from "./sequence-plan.ts";

/** Buffers of the head. */
export interface HeadBuffers {
  /** the rows of the stream that are wanted. */
  readonly picked: Rows;
  readonly logits: Rows;
  /** u32 (tokens). */
  readonly rows: GPUBuffer;
  readonly targets: GPUBuffer;
  /** f32 (tokens). */
  readonly scores: GPUBuffer;
}

/** Logits and log-probabilities of the rows that are wanted, as many at a time as the logits have room for. */
export class SequenceHead {
  readonly #gpu: Gpu;
  readonly #make: Launches;
  readonly #block: HeadBlock;
  readonly #index: number;
  readonly #buffers: HeadBuffers;
  readonly #pick: GPUBindGroup;
  /** by first row. */
  readonly #launches = new Map<number, Launch[]>();

  constructor(gpu: Gpu, make: Launches, block: HeadBlock, index: number, stream: Rows, buffers: HeadBuffers) {
    this.#gpu = gpu;
    this.#make = make;
    this.#block = block;
    this.#index = index;
    this.#buffers = buffers;
    const { picked, rows } = buffers;
    const words = [block.dim, stream.stride, picked.stride];
    this.#pick = make.bind("rrwu", [stream.buffer, rows, picked.buffer], words);
  }

  /** Tells the kernels which tokens are wanted. */
  place({ rows, scored }: WantedRows): void {
    const { queue } = this.#gpu.device;
    queue.writeBuffer(
      this.#buffers.rows,
      0,
      Uint32Array.from(rows, (r) => r.token),
    );
    if (!scored) return;
    queue.writeBuffer(
      this.#buffers.targets,
      0,
      Uint32Array.from(rows, (r) => r.target),
    );
  }

  run(recorder: Recorder, { rows, kept, scored }: WantedRows, readback: GPUBuffer): void {
    const { logits, scores } = this.#buffers;
    const pick = this.#make.kernels.get("pick");
    recorder.dispatch(pick, [this.#pick], Math.ceil(this.#block.dim / CHANNELS), rows.length);
    for (let first = 0; first < rows.length; first += HEAD_ROWS) {
      const count = Math.min(HEAD_ROWS, rows.length - first);
      this.#logits(recorder, first, count);
      if (scored) this.#score(recorder, first, count);
      const keeps = Math.min(count, kept - first);
      if (keeps > 0) recorder.copy(logits.buffer, 0, readback, 4 * first * logits.stride, 4 * keeps * logits.stride);
    }
    if (scored) recorder.copy(scores, 0, readback, 4 * kept * logits.stride, 4 * rows.length);
  }

  #logits(recorder: Recorder, first: number, count: number): void {
    const { picked, logits } = this.#buffers;
    let launches = this.#launches.get(first);
    if (launches === undefined) {
      const from = { ...picked, first: first * picked.stride };
      launches = this.#make.product(this.#index, this.#block.proj, from, logits, HEAD_ROWS);
      this.#launches.set(first, launches);
    }
    launch(recorder, launches, count);
  }

  #score(recorder: Recorder, first: number, count: number): void {
    const { logits, targets, scores } = this.#buffers;
    const words = [this.#block.vocab, logits.stride, first, 0];
    const group = this.#make.bind("rrwu", [logits.buffer, targets, scores], words);
    recorder.dispatch(this.#make.kernels.get("score"), [group], count);
  }
}
