import type { GgufValue } from "./gguf.ts";

/**
 * A stand-in tokenizer: byte-level BPE without merges, so that every printable ASCII character is one token and a text of n characters
 * is n tokens. Token 0 is the end of text, 1 to 256 are the bytes, the others are never met in a text.
 */
const FIRST_BYTE = 1;
const BYTES = 256;
const NORMAL = 1;
const CONTROL = 3;
const UNUSED = 5;

/** The tokenizer's metadata for a vocabulary of at least 257. */
export function vocabularyMetadata(size: number): [string, GgufValue][] {
  const bytes = byteCharacters();
  const tokens = Array.from({ length: size }, (_, i) => {
    if (i === 0) return "<|endoftext|>";
    return bytes[i - FIRST_BYTE] ?? `[PAD${i}]`;
  });
  const types = tokens.map((_, i) => (i === 0 ? CONTROL : i < FIRST_BYTE + BYTES ? NORMAL : UNUSED));
  return [
    ["tokenizer.ggml.model", { string: "gpt2" }],
    ["tokenizer.ggml.pre", { string: "gpt-2" }],
    ["tokenizer.ggml.tokens", { strings: tokens }],
    ["tokenizer.ggml.token_type", { i32s: types }],
    ["tokenizer.ggml.merges", { strings: [] }],
    ["tokenizer.ggml.bos_token_id", { u32: 0 }],
    ["tokenizer.ggml.eos_token_id", { u32: 0 }],
    // A prompt is exactly the tokens it says.
    ["tokenizer.ggml.add_bos_token", { bool: false }],
  ];
}

/** The text of tokens that stand for printable ASCII. @throws RangeError for others */
export function textOf(tokens: readonly number[]): string {
  return String.fromCharCode(
    ...tokens.map((t) => {
      const byte = t - FIRST_BYTE;
      if (byte <= 0x20 || byte >= 0x7f) throw new RangeError(`token ${t} is not a printable character`);
      return byte;
    }),
  );
}

/** A prompt of letters a to z, which `textOf` can spell; prompts of different seeds differ. */
export function letters(count: number, seed: number): number[] {
  return Array.from({ length: count }, (_, i) => FIRST_BYTE + 0x61 + ((i * i + 7 * i + seed) % 26));
}

/** GPT-2's characters for the bytes 0 to 255: a printable byte is itself, the others follow from U+0100 on. */
function byteCharacters(): string[] {
  const printable = (b: number): boolean => (b > 0x20 && b < 0x7f) || (b > 0xa0 && b !== 0xad);
  let next = 0x100;
  return Array.from({ length: BYTES }, (_, b) => String.fromCharCode(printable(b) ? b : next++));
}
