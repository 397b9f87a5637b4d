import { KernelError, type SequenceState } from "../backend.ts";
import type { Block } from "../blocks.ts";
import { checkState } from "../check.ts";
import { type StatePart, stateLayout, stateLength } from "../state.ts";
import type { ConvState } from "./steps.ts";

/** A sequence's state in f64. Reading rounds to f32. */
export class ReferenceState implements SequenceState {
  readonly #blocks: readonly Block[];
  /** each part's values; a part that grows is made anew with every position. */
  #values = new Map<string, Float64Array>();
  #positions = 0;
  #disposed = false;

  constructor(blocks: readonly Block[]) {
    this.#blocks = blocks;
    this.reset();
  }

  get positions(): number {
    return this.#positions;
  }

  /** The live conv and ssm of a block. */
  recurrent(block: number): ConvState {
    this.#check();
    return { conv: this.#part(block, "conv"), ssm: this.#part(block, "ssm") };
  }

  /** Appends a position's row to a block's kv; all rows so far, (positions, 2·dim). */
  grow(block: number, row: Float64Array): Float64Array {
    this.#check();
    const before = this.#part(block, "kv");
    const after = new Float64Array(before.length + row.length);
    after.set(before);
    after.set(row, before.length);
    this.#values.set(key(block, "kv"), after);
    return after;
  }

  /** Counts positions whose rows every block has appended. */
  advance(positions: number): void {
    this.#positions += positions;
  }

  async read(): Promise<Float32Array> {
    this.#check();
    const parts = this.#parts(this.#positions);
    const out = new Float32Array(stateLength(parts));
    for (const { block, name, offset } of parts) out.set(this.#part(block, name), offset);
    return out;
  }

  write(values: Float32Array): void {
    this.#check();
    this.#positions = checkState(values, this.#blocks);
    this.#values = new Map(
      this.#parts(this.#positions).map(({ block, name, offset, length }) => [
        key(block, name),
        Float64Array.from(values.subarray(offset, offset + length)),
      ]),
    );
  }

  copyFrom(other: SequenceState): void {
    this.#check();
    if (!(other instanceof ReferenceState))
      throw new KernelError("a reference state can only copy a reference state: use read and write");
    other.#check();
    this.#values = new Map([...other.#values].map(([name, values]) => [name, values.slice()]));
    this.#positions = other.#positions;
  }

  reset(): void {
    this.#check();
    this.#positions = 0;
    this.#values = new Map(this.#parts(0).map((p) => [key(p.block, p.name), new Float64Array(p.length)]));
  }

  dispose(): void {
    this.#disposed = true;
  }

  /** Where nothing grows the state is the same whatever the count. */
  #parts(positions: number): StatePart[] {
    return stateLayout(this.#blocks, positions);
  }

  #part(block: number, name: StatePart["name"]): Float64Array {
    return this.#values.get(key(block, name)) ?? new Float64Array(0);
  }

  #check(): void {
    if (this.#disposed) throw new KernelError("this state was disposed");
  }
}

function key(block: number, name: StatePart["name"]): string {
  return `${block}.${name}`;
}
