import { KernelError, type SequenceState } from "../backend.ts";
import type { Block } from "../blocks.ts";
import { checkState } from "../check.ts";
import { type StatePart, stateLayout, stateLength } from "../state.ts";
import type { MambaState } from "./steps.ts";

/** A sequence's state in f64. Reading rounds to f32. */
export class ReferenceState implements SequenceState {
  readonly #parts: readonly StatePart[];
  readonly #length: number;
  #values: Float64Array[];
  #disposed = false;

  constructor(blocks: readonly Block[]) {
    this.#parts = stateLayout(blocks);
    this.#length = stateLength(this.#parts);
    this.#values = this.#parts.map((p) => new Float64Array(p.length));
  }

  /** The live state of a Mamba block. */
  mamba(block: number): MambaState {
    this.#check();
    const find = (name: StatePart["name"]): Float64Array =>
      this.#values[this.#parts.findIndex((p) => p.block === block && p.name === name)]!;
    return { conv: find("conv"), ssm: find("ssm") };
  }

  async read(): Promise<Float32Array> {
    this.#check();
    const out = new Float32Array(this.#length);
    this.#parts.forEach((p, i) => {
      out.set(this.#values[i]!, p.offset);
    });
    return out;
  }

  write(values: Float32Array): void {
    this.#check();
    checkState(values, this.#length);
    this.#values = this.#parts.map((p) => Float64Array.from(values.subarray(p.offset, p.offset + p.length)));
  }

  copyFrom(other: SequenceState): void {
    this.#check();
    if (!(other instanceof ReferenceState))
      throw new KernelError("a reference state can only copy a reference state: use read and write");
    other.#check();
    this.#values = other.#values.map((v) => v.slice());
  }

  reset(): void {
    this.#check();
    for (const v of this.#values) v.fill(0);
  }

  dispose(): void {
    this.#disposed = true;
  }

  #check(): void {
    if (this.#disposed) throw new KernelError("this state was disposed");
  }
}
