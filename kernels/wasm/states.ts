import { KernelError, type SequenceState } from "../backend.ts";
import { checkState } from "../check.ts";
import { grows, type StatePart, stateLayout, stateLength } from "../state.ts";
import { PAGE, roundUp } from "./arena.ts";
import type { Heap } from "./heap.ts";
import type { Layout } from "./layout.ts";
import type { PlacedAttention, PlacedMamba, PlacedS4Mamba } from "./placed.ts";
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

  /** Parts that grow need no clearing: nothing behind what is filled is ever looked at. */
  clear(slot: number): void {
    this.heap.u8.fill(0, slot, slot + this.layout.fixedState);
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
 * The state of one sequence in a slot: inside, conv is (inner / 16, K − 1, 16), ssm (inner / 16, N, 16), and kv as in attention.c; outside
 * all are canonical.
 */
export class WasmState implements SequenceState {
  readonly slots: Slots;
  readonly #slot: number;
  #positions = 0;
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

  get positions(): number {
    return this.#positions;
  }

  /** Counts positions that a pass has gone through; only where something grows with them. */
  advance(positions: number): void {
    if (grows(this.slots.layout.blocks)) this.#positions += positions;
  }

  async read(): Promise<Float32Array> {
    const parts = stateLayout(this.slots.layout.blocks, this.#positions);
    const slot = this.slot;
    const values = new Float32Array(stateLength(parts));
    const f32 = this.slots.heap.f32;
    for (const part of parts) {
      visitPart(this.slots.layout, part, slot, (inside, outside) => {
        values[outside] = f32[inside]!;
      });
    }
    return values;
  }

  write(values: Float32Array): void {
    const { blocks } = this.slots.layout;
    const slot = this.slot;
    const f32 = this.slots.heap.f32;
    this.#positions = checkState(values, blocks);
    for (const part of stateLayout(blocks, this.#positions)) {
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
    const { fixedState, placed } = this.slots.layout;
    const u8 = this.slots.heap.u8;
    u8.copyWithin(to, from, from + fixedState);
    this.#positions = other.#positions;
    for (const block of placed) {
      if (block.kind !== "attention") continue;
      for (const [start, length] of filled(block, this.#positions)) {
        u8.copyWithin(to + start, from + start, from + start + length);
      }
    }
  }

  reset(): void {
    this.slots.clear(this.slot);
    this.#positions = 0;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.slots.release(this.#slot);
  }
}

/** Where in a slot the keys and values of so many positions lie, head by head: [first byte, bytes]. */
function* filled(
  { block, width, lanes, keys, values }: PlacedAttention,
  positions: number,
): Generator<[number, number]> {
  const { heads, capacity } = block;
  for (let head = 0; head < heads; head++) {
    yield [keys + 4 * head * roundUp(capacity, CHANNELS) * width, 4 * roundUp(positions, CHANNELS) * width];
    yield [values + 4 * head * capacity * lanes, 4 * positions * lanes];
  }
}

/** Calls `visit` with the place of each element of a part: f32 index in memory, and index in the canonical state. */
function visitPart(
  layout: Layout,
  part: StatePart,
  slot: number,
  visit: (inside: number, outside: number) => void,
): void {
  const [rows, cols] = part.shape as [number, number];
  const place = placeOf(layout, part);
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) visit(slot / 4 + place(row, col), part.offset + row * cols + col);
  }
}

/** Where in a slot element (row, col) of a part lies, in f32s. */
function placeOf(layout: Layout, part: StatePart): (row: number, col: number) => number {
  const placed = layout.placed[part.block]!;
  const [rows, cols] = part.shape as [number, number];
  if (part.name === "conv") {
    const base = (placed as PlacedMamba | PlacedS4Mamba).convState / 4;
    return (row, col) => base + blockedIndex(col, row, rows, CHANNELS);
  }
  if (part.name === "ssm") {
    const base = (placed as PlacedMamba).ssmState / 4;
    return (row, col) => base + blockedIndex(row, col, cols, CHANNELS);
  }
  const { block, width, lanes, keys, values } = placed as PlacedAttention;
  const { dim, capacity } = block;
  return (position, col) => {
    const [head, channel] = [Math.floor((col % dim) / width), col % width];
    return col < dim
      ? keys / 4 + head * roundUp(capacity, CHANNELS) * width + blockedIndex(position, channel, width, CHANNELS)
      : values / 4 + (head * capacity + position) * lanes + channel;
  };
}
