import { ModelError } from "../errors.ts";
import type { TextTokenizer } from "../tokenizer.ts";

/**
 * The bytes of all of a vocabulary's text tokens as a tree, in the order of a walk that goes down first: entry i is one byte, its
 * children follow it, and `end[i]` is the first entry that is not below it.
 */
export interface TokenTrie {
  readonly byte: Uint8Array; // (entries)
  /** 0 for a first byte. */
  readonly depth: Uint16Array; // (entries)
  readonly end: Uint32Array; // (entries)
  /** The tokens that end at entry i are tokens[starts[i]] up to tokens[starts[i + 1]]. */
  readonly starts: Uint32Array; // (entries + 1)
  readonly tokens: Uint32Array;
  /** Bytes of the longest token. */
  readonly longest: number;
}

const tries = new WeakMap<TextTokenizer, TokenTrie>();

/**
 * The trie of a tokenizer, made once.
 * @throws ModelError when a byte of UTF-8 has no token of its own: then not every text can be written
 */
export function trieOf(tokenizer: TextTokenizer): TokenTrie {
  let trie = tries.get(tokenizer);
  if (trie === undefined) {
    trie = buildTrie(tokenizer);
    tries.set(tokenizer, trie);
  }
  return trie;
}

function buildTrie(tokenizer: TextTokenizer): TokenTrie {
  const spelled: { token: number; bytes: Uint8Array }[] = [];
  for (let token = 0; token < tokenizer.vocab; token++) {
    const bytes = tokenizer.isSpecial(token) ? undefined : tokenizer.bytes(token);
    if (bytes !== undefined && bytes.length > 0) spelled.push({ token, bytes });
  }
  spelled.sort((a, b) => compare(a.bytes, b.bytes) || a.token - b.token);
  checkBytes(new Set(spelled.filter(({ bytes }) => bytes.length === 1).map(({ bytes }) => bytes[0]!)));

  const byte: number[] = [];
  const depth: number[] = [];
  const end: number[] = [];
  const starts: number[] = [];
  const path: number[] = []; // entries from the root to the last one
  let before: Uint8Array = new Uint8Array(0);
  for (const [i, { bytes }] of spelled.entries()) {
    let shared = 0;
    while (shared < before.length && before[shared] === bytes[shared]) shared++;
    for (const entry of path.splice(shared)) end[entry] = byte.length;
    for (let at = shared; at < bytes.length; at++) {
      path.push(byte.length);
      byte.push(bytes[at]!);
      depth.push(at);
      // Tokens in order of their bytes end in order of entries: an entry on the way to token i has none, as the next one begins at i.
      starts.push(i);
    }
    before = bytes;
  }
  for (const entry of path) end[entry] = byte.length;
  starts.push(spelled.length);
  return {
    byte: Uint8Array.from(byte),
    depth: Uint16Array.from(depth),
    end: Uint32Array.from(end),
    starts: Uint32Array.from(starts),
    tokens: Uint32Array.from(spelled, ({ token }) => token),
    longest: spelled.reduce((most, { bytes }) => Math.max(most, bytes.length), 0),
  };
}

function compare(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

function checkBytes(single: ReadonlySet<number>): void {
  for (let byte = 0; byte <= 0xf4; byte++) {
    if (single.has(byte) || byte === 0xc0 || byte === 0xc1) continue;
    throw new ModelError(
      `the model's tokenizer has no token for the byte ${byte}, so it cannot write in every format: leave response_format and grammar out`,
    );
  }
}
