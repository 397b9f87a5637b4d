import { philox4x32 } from "../../../worker/engine/random.ts";

const SEED = 20_240;
const WORD = 2 ** 32;

/**
 * What evaluation prompt `index` is drawn from, number by number as scripts/train/icl_prompts.py draws it: Philox4x32-10 with key
 * (SEED + index, 0) and counters 0, 1, 2, …, whole blocks of four words a draw.
 */
export class Counter {
  readonly #key: readonly [number, number];
  #used = 0;

  constructor(index: number) {
    this.#key = [SEED + index, 0];
  }

  /** Numbers between 0 and 1, neither included. */
  uniform(count: number): Float64Array {
    const blocks = Math.ceil(count / 4);
    const all = new Float64Array(4 * blocks);
    for (let b = 0; b < blocks; b++) {
      const words = philox4x32([this.#used++, 0, 0, 0], this.#key);
      words.forEach((word, i) => {
        all[4 * b + i] = (word + 0.5) / WORD;
      });
    }
    return all.subarray(0, count);
  }

  /** N(0, 1) by Box and Muller's two at a time, rounded to f32. */
  normal(count: number): Float32Array {
    const unit = this.uniform(4 * Math.ceil(count / 4));
    const all = new Float32Array(unit.length);
    for (let i = 0; i < unit.length; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(unit[i]!));
      const angle = 2 * Math.PI * unit[i + 1]!;
      all[i] = radius * Math.cos(angle);
      all[i + 1] = radius * Math.sin(angle);
    }
    return all.subarray(0, count);
  }
}
