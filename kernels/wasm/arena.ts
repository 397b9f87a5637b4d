export const PAGE = 65_536;
/** Places start on cache lines. */
const LINE = 64;

/** Hands out byte offsets of a memory that does not exist yet. */
export class Arena {
  #top: number;

  constructor(start: number) {
    this.#top = start;
  }

  get top(): number {
    return this.#top;
  }

  /** A place for `bytes` bytes. */
  take(bytes: number): number {
    const offset = this.#top;
    this.#top = roundUp(offset + bytes, LINE);
    return offset;
  }

  /** A place for `count` f32s. */
  takeF32(count: number): number {
    return this.take(4 * count);
  }
}

/** The smallest multiple of `unit` that is not below n. */
export function roundUp(n: number, unit: number): number {
  return Math.ceil(n / unit) * unit;
}
