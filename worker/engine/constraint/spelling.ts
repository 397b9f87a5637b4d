import type { TokenTrie } from "./token-trie.ts";

/** The fewest tokens that spell a text; for each those with the same bytes. */
export function spelling(trie: TokenTrie, text: Uint8Array): Uint32Array[] {
  // best[i]: of the text from i on, how many tokens, the first one's entry in the trie, and where it ends.
  const best: { count: number; entry: number; end: number }[] = new Array(text.length + 1);
  best[text.length] = { count: 0, entry: 0, end: text.length };
  for (let from = text.length - 1; from >= 0; from--) {
    let fewest = { count: Number.POSITIVE_INFINITY, entry: 0, end: from };
    for (const { entry, end } of beginnings(trie, text, from)) {
      const count = 1 + best[end]!.count;
      if (count < fewest.count) fewest = { count, entry, end };
    }
    best[from] = fewest;
  }
  const parts: Uint32Array[] = [];
  for (let from = 0; from < text.length; from = best[from]!.end) {
    const { entry } = best[from]!;
    parts.push(trie.tokens.subarray(trie.starts[entry]!, trie.starts[entry + 1]!));
  }
  return parts;
}

/** The tokens that the text from `from` on begins with. */
function beginnings(
  { byte, depth, end, starts }: TokenTrie,
  text: Uint8Array,
  from: number,
): { entry: number; end: number }[] {
  const found: { entry: number; end: number }[] = [];
  let at = from;
  for (let entry = 0; at < text.length && entry < byte.length && depth[entry] === at - from; ) {
    if (byte[entry] !== text[at]) {
      entry = end[entry]!;
      continue;
    }
    at++;
    if (starts[entry + 1]! > starts[entry]!) found.push({ entry, end: at });
    entry++;
  }
  return found;
}
