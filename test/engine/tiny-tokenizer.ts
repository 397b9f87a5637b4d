/** Small tokenizers in the form of tokenizer.json, for tests. */

const encoder = new TextEncoder();

/** GPT-2's character for each byte, counted out independently of the code under test. */
export function byteCharacters(): string[] {
  const own = [range("!", "~"), range("¡", "¬"), range("®", "ÿ")].flat();
  const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !own.includes(byte));
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(own.includes(byte) ? byte : 256 + others.indexOf(byte)),
  );
}

function range(first: string, last: string): number[] {
  const start = first.charCodeAt(0);
  return Array.from({ length: last.charCodeAt(0) - start + 1 }, (_, i) => start + i);
}

/**
 * Byte-level BPE: 0 "<|endoftext|>", 1 "<|user|>" (not flagged special), 2 to 257 the bytes, then the merges, then a
 * run of two spaces added as ordinary text, as GPT-NeoX has them.
 */
export function byteLevelJson(): Record<string, unknown> {
  const merges = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "< |", "| >"];
  const vocab: Record<string, number> = { "<|endoftext|>": 0, "<|user|>": 1 };
  for (const piece of [...byteCharacters(), ...merges.map((merge) => merge.replace(" ", ""))]) {
    vocab[piece] = Object.keys(vocab).length;
  }
  return {
    version: "1.0",
    added_tokens: [
      { id: 0, content: "<|endoftext|>", special: true, normalized: false, lstrip: false, rstrip: false },
      { id: 1, content: "<|user|>", special: false, normalized: false, lstrip: false, rstrip: false },
      { id: Object.keys(vocab).length, content: "  ", special: false, normalized: true, lstrip: false, rstrip: false },
    ],
    normalizer: { type: "NFC" },
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true },
    model: { type: "BPE", vocab, merges },
  };
}

/** Sentencepiece BPE as Llama 2 has it: 0 "<unk>", 1 "<s>", 2 "</s>", 3 to 258 the bytes, then pieces. */
export function sentencepieceJson(): Record<string, unknown> {
  const vocab: Record<string, number> = { "<unk>": 0, "<s>": 1, "</s>": 2 };
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const pieces = ["▁", "h", "i", "t", "e", "<", "/", "s", ">", "hi", "▁hi", "</", "s>", "</s>"];
  for (const piece of [...bytes, ...pieces]) vocab[piece] ??= Object.keys(vocab).length;
  const special = (id: number, content: string) => ({ id, content, special: true, normalized: false });
  return {
    added_tokens: [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    // The merges spell "</s>": a text must not become the token all the same.
    model: {
      type: "BPE",
      unk_token: "<unk>",
      fuse_unk: true,
      byte_fallback: true,
      vocab,
      merges: ["h i", "▁ hi", "< /", "s >", "</ s>"],
    },
  };
}

export function jsonBytes(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}
