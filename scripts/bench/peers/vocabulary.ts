import type { GgufValue } from "./gguf.ts";

/**
 * A stand-in tokenizer: BPE over the printable ASCII characters without merges, so that a text of n of them is n tokens. Bytes outside
 * ASCII are left out because wllama fails on a token that is no whole character. Token 0 is the end of text, 1 to 94 are the characters
 * from ! to ~, 95 is the line feed, and the others are in no text.
 */
const FIRST = "!".charCodeAt(0);
const LAST = "~".charCodeAt(0);
/** How GPT-2's vocabularies spell byte 10. */
const LINE_FEED = "Ċ";

/** llama.cpp's kinds of tokens. */
const NORMAL = 1;
const CONTROL = 3;
const UNUSED = 5;

/** The tokenizer's metadata for a vocabulary of at least 96. */
export function vocabularyMetadata(size: number): [string, GgufValue][] {
  const characters = Array.from({ length: LAST - FIRST + 1 }, (_, i) => String.fromCharCode(FIRST + i));
  const known = ["<|endoftext|>", ...characters, LINE_FEED];
  const tokens = Array.from({ length: size }, (_, i) => known[i] ?? `[PAD${i}]`);
  const types = tokens.map((_, i) => (i === 0 ? CONTROL : i < known.length ? NORMAL : UNUSED));
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

/** The text of tokens that stand for printable characters. @throws RangeError for others */
export function textOf(tokens: readonly number[]): string {
  const wrong = tokens.find((t) => t < 1 || t > LAST - FIRST + 1);
  if (wrong !== undefined) throw new RangeError(`token ${wrong} is not a printable character`);
  return String.fromCharCode(...tokens.map((t) => FIRST + t - 1));
}

/** A prompt of letters, which `textOf` can spell; prompts of different seeds differ. */
export function letters(count: number, seed: number): number[] {
  const a = "a".charCodeAt(0) - FIRST + 1;
  return Array.from({ length: count }, (_, i) => a + ((i * i + 7 * i + seed) % 26));
}
