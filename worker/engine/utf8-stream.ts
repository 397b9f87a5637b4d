const NOTHING = new Uint8Array(0);

/**
 * Turns the bytes of successive tokens into text. A character cut by a token's end (at most 3 bytes) waits for the
 * rest; a sequence that cannot become valid turns into U+FFFD at once. However the bytes are split, the text is that
 * of `new TextDecoder("utf-8", { ignoreBOM: true })` over the whole.
 *
 * TextDecoder's own stream mode would do the same, but does not let go of the bytes it holds, and a snapshot needs
 * them.
 *
 * @example
 * const stream = new Utf8Stream();
 * stream.push(new Uint8Array([0xe2, 0x82])); // ""
 * stream.push(new Uint8Array([0xac])); // "€"
 */
export class Utf8Stream {
  // ignoreBOM keeps U+FEFF: a decoder that drops it would drop it at the beginning of every push.
  readonly #decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });
  #pending: Uint8Array;

  /**
   * @param pending what `pending` gave when the stream was left
   * @throws {RangeError} when it is not the beginning of one character
   */
  constructor(pending: Uint8Array = NOTHING) {
    if (unfinished(pending) !== pending.length) {
      throw new RangeError(`the bytes [${pending}] are not the beginning of one UTF-8 character`);
    }
    this.#pending = pending.slice();
  }

  /** The bytes of an unfinished character, 0 to 3 of them (a copy). */
  get pending(): Uint8Array {
    return this.#pending.slice();
  }

  /** The text completed by these bytes. */
  push(bytes: Uint8Array): string {
    let all = bytes;
    if (this.#pending.length > 0) {
      all = new Uint8Array(this.#pending.length + bytes.length);
      all.set(this.#pending);
      all.set(bytes, this.#pending.length);
    }
    const end = all.length - unfinished(all);
    this.#pending = all.slice(end);
    return this.#decoder.decode(all.subarray(0, end));
  }

  /** What is left when no more bytes come: U+FFFD for an unfinished character, else nothing. */
  flush(): string {
    const text = this.#decoder.decode(this.#pending);
    this.#pending = NOTHING;
    return text;
  }
}

/**
 * How many bytes at the end begin a character that more bytes could complete (0 to 3). The second byte has a
 * narrower range after E0, ED, F0 and F4 (Unicode 16.0, table 3-7), and outside of it TextDecoder gives up at once.
 */
function unfinished(bytes: Uint8Array): number {
  for (let length = 1; length <= Math.min(3, bytes.length); length++) {
    const lead = bytes[bytes.length - length]!;
    if (lead >= 0x80 && lead <= 0xbf) continue;
    if (length >= characterLength(lead)) return 0;
    if (length >= 2 && !fits(lead, bytes[bytes.length - length + 1]!)) return 0;
    return length;
  }
  return 0;
}

function characterLength(lead: number): number {
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 1;
}

function fits(lead: number, second: number): boolean {
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second <= 0x9f;
  if (lead === 0xf0) return second >= 0x90;
  if (lead === 0xf4) return second <= 0x8f;
  return true;
}
