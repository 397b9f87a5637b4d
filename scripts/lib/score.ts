import type { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";

export interface Score {
  readonly documents: number;
  readonly tokens: number;
  /** UTF-8 bytes of the documents, without what separates them. */
  readonly bytes: number;
  /** Σ −ln p over the tokens. */
  readonly nats: number;
}

export interface ScoreOptions {
  /** restart from an empty state every so many tokens; whole documents when absent. */
  readonly window?: number | undefined;
  /** stop after so many tokens of the file. */
  readonly limit?: number | undefined;
  readonly onProgress?: (done: number, total: number) => void;
}

const END_OF_TEXT = "<|endoftext|>";

/** Texts of a file: what lies between its <|endoftext|> marks, without blanks around it; empty ones are dropped. */
export function documentsOf(text: string): string[] {
  return text
    .split(END_OF_TEXT)
    .map((d) => d.trim())
    .filter((d) => d !== "");
}

/**
 * Scores documents one after the other, every token once. A document is fed <|endoftext|> first and its state is carried through it;
 * with a window, each window of tokens starts from an empty state and is fed the token in front of it.
 */
export async function score(model: Model, documents: readonly string[], options: ScoreOptions = {}): Promise<Score> {
  const tokenizer = model.requireTokenizer();
  const start = tokenizer.endOfText;
  if (start === undefined) throw new Error(`the tokenizer of ${model.manifest.id} has no end-of-text token`);
  const { limit = Infinity } = options;
  const encoded = documents.map((d) => tokenizer.encode(d));
  const total = Math.min(
    limit,
    encoded.reduce((sum, d) => sum + d.length, 0),
  );
  const sum = { documents: 0, tokens: 0, bytes: 0, nats: 0 };
  for (const tokens of encoded) {
    const left = total - sum.tokens;
    if (left === 0) break;
    const targets = tokens.slice(0, left);
    const inputs = [start, ...targets.slice(0, -1)];
    const window = options.window ?? targets.length;
    for (let at = 0; at < targets.length; at += window) {
      const sequence = new Sequence(model);
      const base = sum.tokens + at;
      const { logProbs } = await sequence.feed(inputs.slice(at, at + window), {
        targets: targets.slice(at, at + window),
        onProgress: (done) => options.onProgress?.(base + done, total),
      });
      sequence.dispose();
      for (const p of logProbs) sum.nats -= p;
    }
    sum.documents++;
    sum.tokens += targets.length;
    for (const token of targets) sum.bytes += tokenizer.bytes(token).length;
  }
  return sum;
}

/** Mean over tokens, as an exponential. */
export function perplexity(s: Score): number {
  return Math.exp(s.nats / s.tokens);
}

export function bitsPerByte(s: Score): number {
  return s.nats / Math.LN2 / s.bytes;
}
