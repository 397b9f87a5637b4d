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

/**
 * A stride in f32s that is no multiple of 1 KiB: the same columns of many tokens would fall into the same few sets of the first-level
 * cache, and a projection writes its rows token by token.
 */
export function apart(stride: number): number {
  return stride % 256 === 0 ? stride + 16 : stride;
}
