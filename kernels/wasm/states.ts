import { KernelError, type SequenceState } from "../backend.ts";
import { checkState } from "../check.ts";
import { type StatePart, stateLength } from "../state.ts";
import { PAGE } from "./arena.ts";
import type { Heap } from "./heap.ts";
import type { Layout, PlacedMamba } from "./layout.ts";
import { blockedIndex, CHANNELS } from "./tensors.ts";

/** Slots for the states of live sequences, behind everything else in memory: it grows by a slot when none is free. */
export class Slots {
  readonly layout: Layout;
  readonly #free: number[] = [];
  #heap: Heap | undefined;
  #count = 0;

  constructor(heap: Heap, layout: Layout) {
    this.#heap = heap;
    this.layout = layout;
  }

  /** Address of a zeroed slot. @throws KernelError when memory cannot grow */
  take(): number {
    const { slots, memory } = this.layout;
    const size = memory.statePerSequence;
    const slot = this.#free.pop() ?? slots + this.#count * size;
    const missing = slot + size - this.heap.memory.buffer.byteLength;
    if (missing > 0) {
      try {
        this.heap.memory.grow(Math.ceil(missing / PAGE));
      } catch (cause) {
        throw new KernelError(`no memory for another state (${size} bytes): dispose states that are done`, { cause });
      }
    }
    if (slot === slots + this.#count * size) this.#count++;
    this.clear(slot);
    return slot;
  }

  release(slot: number): void {
    this.#free.push(slot);
  }

  clear(slot: number): void {
    this.heap.u8.fill(0, slot, slot + this.layout.memory.statePerSequence);
  }

  /** @throws KernelError when the executable was disposed */
  get heap(): Heap {
    if (this.#heap === undefined)
      throw new KernelError("this state's executable was disposed: compile the model again");
    return this.#heap;
  }

  /** Lets go of the memory. */
  close(): void {
    this.#heap = undefined;
  }
}

/**
 * The state of one sequence in a slot: inside, conv is (inner / 16, K − 1, 16) and ssm (inner / 16, N, 16); outside both are canonical.
 */
export class WasmState implements SequenceState {
  readonly slots: Slots;
  readonly #slot: number;
  #disposed = false;

  constructor(slots: Slots) {
    this.slots = slots;
    this.#slot = slots.take();
  }

  /** Address of its slot. @throws KernelError when it was disposed */
  get slot(): number {
    if (this.#disposed) throw new KernelError("this state was disposed: create another");
    return this.#slot;
  }

  async read(): Promise<Float32Array> {
    const { stateParts } = this.slots.layout;
    const slot = this.slot;
    const values = new Float32Array(stateLength(stateParts));
    const f32 = this.slots.heap.f32;
    for (const part of stateParts) {
      visitPart(this.slots.layout, part, slot, (inside, outside) => {
        values[outside] = f32[inside]!;
      });
    }
    return values;
  }

  write(values: Float32Array): void {
    const { stateParts } = this.slots.layout;
    const slot = this.slot;
    const f32 = this.slots.heap.f32;
    checkState(values, stateLength(stateParts));
    for (const part of stateParts) {
      visitPart(this.slots.layout, part, slot, (inside, outside) => {
        f32[inside] = values[outside]!;
      });
    }
  }

  copyFrom(other: SequenceState): void {
    const to = this.slot;
    if (!(other instanceof WasmState) || other.slots !== this.slots) {
      throw new KernelError("a state copies only a state of its own executable: use read and write for others");
    }
    const from = other.slot;
    this.slots.heap.u8.copyWithin(to, from, from + this.slots.layout.memory.statePerSequence);
  }

  reset(): void {
    this.slots.clear(this.slot);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.slots.release(this.#slot);
  }
}

/** Calls `visit` with the place of each element of a part: f32 index in memory, and index in the canonical state. */
function visitPart(
  layout: Layout,
  part: StatePart,
  slot: number,
  visit: (inside: number, outside: number) => void,
): void {
  const mamba = layout.placed[part.block] as PlacedMamba;
  const [rows, cols] = part.shape as [number, number];
  const base = (slot + (part.name === "conv" ? mamba.convState : mamba.ssmState)) / 4;
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const inside =
        part.name === "conv" ? blockedIndex(col, row, rows, CHANNELS) : blockedIndex(row, col, cols, CHANNELS);
      visit(base + inside, part.offset + row * cols + col);
    }
  }
}
