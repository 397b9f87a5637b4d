/** GPT-2's map from bytes to printable characters (openai/gpt-2, encoder.py). */
export function byteCharacters(): string[] {
  const printable = (b: number): boolean => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(printable(b) ? b : next++));
}

/** tokenizer.json of a byte-level tokenizer without merges: id 0 is <|endoftext|>, byte b is b + 1. */
export function byteTokenizer(): Uint8Array {
  const vocab = Object.fromEntries([["<|endoftext|>", 0], ...byteCharacters().map((c, b) => [c, b + 1] as const)]);
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return new TextEncoder().encode(
    JSON.stringify({
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: [
        {
          id: 0,
          content: "<|endoftext|>",
          single_word: false,
          lstrip: false,
          rstrip: false,
          normalized: false,
          special: true,
        },
      ],
      normalizer: null,
      pre_tokenizer: byteLevel,
      post_processor: null,
      decoder: byteLevel,
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        vocab,
        merges: [],
      },
    }),
  );
}

/** Tokens that the chat template writes, 257 to 260 of chatTokenizer. */
const CHAT_TOKENS = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"];

/** byteTokenizer with the special tokens of CHAT_TEMPLATE. */
export function chatTokenizer(): Uint8Array {
  const json = JSON.parse(new TextDecoder().decode(byteTokenizer()));
  const [first] = json.added_tokens;
  for (const [i, content] of CHAT_TOKENS.entries()) json.added_tokens.push({ ...first, id: 257 + i, content });
  return new TextEncoder().encode(JSON.stringify(json));
}

/** As many models have it: contents are trimmed, and a first message of the assistant is refused. */
export const CHAT_TEMPLATE = [
  "{%- if messages[0].role == 'assistant' %}{{ raise_exception('the user speaks first') }}{% endif %}",
  "{%- for message in messages %}",
  "{{- '<|' + message.role + '|>\\n' + message.content | trim + '<|end|>\\n' }}",
  "{%- endfor %}",
  "{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
].join("\n");
