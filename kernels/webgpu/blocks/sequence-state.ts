import { KernelError, type SequenceState } from "../../backend.ts";
import { checkState } from "../../check.ts";
import { grows, type StatePart, stateLayout } from "../../state.ts";
import { type Gpu, USAGE } from "../gpu.ts";
import type { Pipelines } from "../pipelines.ts";
import { Recorder } from "../recorder.ts";
import type { SequencePlan } from "./sequence-plan.ts";

/** What the states of one executable share. */
export class BlockStates {
  readonly gpu: Gpu;
  readonly pipelines: Pipelines;
  readonly plan: SequencePlan;
  /** of a fresh sequence. */
  readonly parts: readonly StatePart[];
  readonly grows: boolean;
  readonly live = new Set<BlockState>();
  readonly #free: Memory[] = [];

  constructor(gpu: Gpu, pipelines: Pipelines, plan: SequencePlan) {
    this.gpu = gpu;
    this.pipelines = pipelines;
    this.plan = plan;
    this.parts = stateLayout(plan.blocks);
    this.grows = grows(plan.blocks);
  }

  /** Of a state that was disposed, or new: zeros but for what grows, which nobody looks at before it is filled. */
  take(): Memory {
    const used = this.#free.pop();
    if (used !== undefined) {
      this.clear(used);
      return used;
    }
    const { gpu, pipelines, plan } = this;
    const buffer = gpu.buffer("state", plan.stateBytes);
    const groups = plan.states.map(
      (place) => place && pipelines.bind("w", [{ buffer, offset: place.offset, size: 4 * place.length }]),
    );
    return { buffer, groups };
  }

  clear({ buffer }: Memory): void {
    const recorder = new Recorder(this.gpu);
    if (this.plan.fixedStateBytes > 0) recorder.clear(buffer, this.plan.fixedStateBytes);
    recorder.submit();
  }

  give(memory: Memory): void {
    this.#free.push(memory);
  }

  /** Frees all memory. */
  dispose(): void {
    for (const state of [...this.live]) state.dispose();
    for (const { buffer } of this.#free) this.gpu.free(buffer);
    this.#free.length = 0;
  }
}

/** A state's buffer, with a bind group for each block that has a state. */
interface Memory {
  readonly buffer: GPUBuffer;
  readonly groups: readonly (GPUBindGroup | undefined)[];
}

/** Bytes of a state that are looked at: where they are in its buffer, and where in the canonical state. */
interface Piece {
  readonly at: number;
  readonly canonical: number;
  readonly bytes: number;
}

/**
 * A sequence's state in a buffer of its own, each block's part as it is in the canonical state, from a multiple of 256 bytes on. Attention
 * has room for all the positions that it may hold.
 */
export class BlockState implements SequenceState {
  readonly shared: BlockStates;
  readonly #memory: Memory;
  #positions = 0;
  #disposed = false;

  constructor(shared: BlockStates) {
    this.shared = shared;
    this.#memory = shared.take();
    shared.live.add(this);
  }

  /** @throws KernelError when it was disposed */
  get buffer(): GPUBuffer {
    this.#check();
    return this.#memory.buffer;
  }

  get groups(): Memory["groups"] {
    return this.#memory.groups;
  }

  get positions(): number {
    return this.#positions;
  }

  /** Counts positions that a pass has gone through; only where something grows with them. */
  advance(positions: number): void {
    if (this.shared.grows) this.#positions += positions;
  }

  async read(): Promise<Float32Array> {
    const { gpu } = this.shared;
    const { buffer } = this;
    const pieces = this.#pieces(this.#positions);
    const last = pieces.at(-1);
    if (last === undefined) return new Float32Array(0);
    const bytes = last.canonical + last.bytes;
    const staging = gpu.buffer("state readback", bytes, USAGE.mapRead | USAGE.copyDst);
    try {
      const recorder = new Recorder(gpu);
      for (const piece of pieces) recorder.copy(buffer, piece.at, staging, piece.canonical, piece.bytes);
      recorder.submit();
      return new Float32Array((await gpu.map(staging, bytes)).slice(0, bytes));
    } finally {
      gpu.free(staging);
    }
  }

  write(values: Float32Array): void {
    const { gpu, plan } = this.shared;
    const { buffer } = this;
    const positions = checkState(values, plan.blocks);
    gpu.check();
    for (const { at, canonical, bytes } of this.#pieces(positions)) {
      gpu.device.queue.writeBuffer(buffer, at, values.slice(canonical / 4, (canonical + bytes) / 4));
    }
    this.#positions = positions;
  }

  copyFrom(other: SequenceState): void {
    const { buffer } = this;
    if (!(other instanceof BlockState) || other.shared !== this.shared) {
      throw new KernelError("a state copies only a state of its own executable: use read and write for others");
    }
    const recorder = new Recorder(this.shared.gpu);
    if (other !== this) {
      for (const { at, bytes } of this.#pieces(other.#positions)) recorder.copy(other.buffer, at, buffer, at, bytes);
    }
    recorder.submit();
    this.#positions = other.#positions;
  }

  reset(): void {
    this.#check();
    this.shared.clear(this.#memory);
    this.#positions = 0;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.shared.live.delete(this);
    this.shared.give(this.#memory);
  }

  #check(): void {
    if (this.#disposed) throw new KernelError("this state was disposed: create another");
  }

  /** In canonical order. */
  #pieces(positions: number): Piece[] {
    let canonical = 0;
    return this.shared.plan.states.flatMap((place) => {
      if (place === undefined) return [];
      const bytes = 4 * (place.each === 0 ? place.length : place.each * positions);
      const piece = { at: place.offset, canonical, bytes };
      canonical += bytes;
      return bytes === 0 ? [] : [piece];
    });
  }
}
