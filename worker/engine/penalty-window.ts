/** How many of a sequence's last tokens the penalties look at. */
export const PENALTY_WINDOW = 512;

/** A window as a snapshot stores it: equally long arrays, oldest token first. */
export interface PenaltyWindowArrays {
  tokens: number[];
  /** 1 where the token was generated, 0 where it came from the prompt. */
  generated: number[];
}

/**
 * The last 512 tokens of a sequence, each marked as prompt or generated, with a count of every distinct one.
 * Bounded, so that a snapshot and the cost of a token stay the same however long the sequence grows.
 */
export class PenaltyWindow {
  readonly #tokens = new Uint32Array(PENALTY_WINDOW); // (512) ring
  readonly #generated = new Uint8Array(PENALTY_WINDOW); // (512) ring, 0 or 1
  #start = 0;
  #size = 0;
  /** Occurrences of each distinct token in the window, prompt and generated. */
  readonly #total = new Map<number, number>();
  /** Occurrences among the generated ones. */
  readonly #generatedTotal = new Map<number, number>();

  /** Tokens in the window, at most 512. */
  get size(): number {
    return this.#size;
  }

  /** Appends one token, dropping the oldest of a full window. O(1). */
  push(token: number, generated: boolean): void {
    if (!isToken(token)) throw new RangeError(`token ${token} is not an integer from 0 to 2³² − 1`);
    if (this.#size === PENALTY_WINDOW) this.#dropOldest();
    const slot = (this.#start + this.#size) % PENALTY_WINDOW;
    this.#tokens[slot] = token;
    this.#generated[slot] = generated ? 1 : 0;
    this.#size++;
    change(this.#total, token, 1);
    if (generated) change(this.#generatedTotal, token, 1);
  }

  /** Appends a span of tokens; only its last 512 cost anything. */
  pushAll(tokens: ArrayLike<number>, generated: boolean): void {
    for (let i = Math.max(0, tokens.length - PENALTY_WINDOW); i < tokens.length; i++) this.push(tokens[i]!, generated);
  }

  /** How often the token occurs in the window, in the prompt or generated. O(1). */
  count(token: number): number {
    return this.#total.get(token) ?? 0;
  }

  /** How often the token occurs among the window's generated tokens. O(1). */
  countGenerated(token: number): number {
    return this.#generatedTotal.get(token) ?? 0;
  }

  /** The distinct tokens in the window, each with its occurrences, in no promised order. */
  counts(): IterableIterator<[token: number, count: number]> {
    return this.#total.entries();
  }

  /** The distinct generated tokens in the window, each with its occurrences, in no promised order. */
  countsGenerated(): IterableIterator<[token: number, count: number]> {
    return this.#generatedTotal.entries();
  }

  /** An independent copy, for a sequence that goes two ways. */
  fork(): PenaltyWindow {
    return PenaltyWindow.fromArrays(this.toArrays());
  }

  toArrays(): PenaltyWindowArrays {
    const tokens: number[] = [];
    const generated: number[] = [];
    for (let i = 0; i < this.#size; i++) {
      const slot = (this.#start + i) % PENALTY_WINDOW;
      tokens.push(this.#tokens[slot]!);
      generated.push(this.#generated[slot]!);
    }
    return { tokens, generated };
  }

  /** @throws {RangeError} when the arrays differ in length, are longer than 512, or hold anything else than above */
  static fromArrays({ tokens, generated }: PenaltyWindowArrays): PenaltyWindow {
    if (tokens.length !== generated.length || tokens.length > PENALTY_WINDOW) {
      throw new RangeError(
        `a penalty window has equally many tokens and marks, at most ${PENALTY_WINDOW}: ` +
          `seen ${tokens.length} and ${generated.length}`,
      );
    }
    const window = new PenaltyWindow();
    for (const [i, token] of tokens.entries()) {
      const mark = generated[i];
      if (mark !== 0 && mark !== 1) throw new RangeError(`mark ${i} of a penalty window is ${mark}, not 0 or 1`);
      window.push(token, mark === 1);
    }
    return window;
  }

  #dropOldest(): void {
    const token = this.#tokens[this.#start]!;
    change(this.#total, token, -1);
    if (this.#generated[this.#start] === 1) change(this.#generatedTotal, token, -1);
    this.#start = (this.#start + 1) % PENALTY_WINDOW;
    this.#size--;
  }
}

function change(counts: Map<number, number>, token: number, by: number): void {
  const count = (counts.get(token) ?? 0) + by;
  if (count === 0) counts.delete(token);
  else counts.set(token, count);
}

function isToken(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}
