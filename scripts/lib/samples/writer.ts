import { type ChatMessage, chatFormat } from "../../../worker/engine/chat.ts";
import { generate } from "../../../worker/engine/generate.ts";
import type { Model } from "../../../worker/engine/model.ts";
import type { SamplingOptions } from "../../../worker/engine/sampling.ts";
import { Sequence } from "../../../worker/engine/sequence.ts";

/** How every sample is drawn. */
export const SAMPLING = { temperature: 0.8, topP: 0.95, minP: 0.02 } as const satisfies SamplingOptions;

export interface Written {
  readonly text: string;
  /** generated, the one that ended it included. */
  readonly tokens: readonly number[];
  /** whether the model ended it, and not the limit. */
  readonly ended: boolean;
}

export interface WriteOptions {
  readonly seed: number;
  readonly maxTokens: number;
  readonly endTokens?: ReadonlySet<number>;
  /** never sampled. */
  readonly banned?: Iterable<number>;
  /** default SAMPLING. */
  readonly sampling?: SamplingOptions;
}

/** Generates from a fresh sequence. */
export async function write(model: Model, prompt: readonly number[], options: WriteOptions): Promise<Written> {
  const { seed, maxTokens, endTokens = new Set<number>(), banned = [], sampling = SAMPLING } = options;
  const logitBias = new Map([...banned].map((token): [number, number] => [token, -100]));
  const sequence = new Sequence(model);
  const tokens: number[] = [];
  let text = "";
  try {
    const run = generate(sequence, { prompt, maxTokens, endTokens, sampling: { ...sampling, logitBias, seed } });
    for (;;) {
      const { done, value } = await run.next();
      const chunk = done ? value.tail : value;
      text += chunk.text;
      for (const token of chunk.tokens) tokens.push(token.id);
      if (done) return { text, tokens, ended: value.finishReason === "stop" };
    }
  } finally {
    sequence.dispose();
  }
}

/** The model's next message in a conversation. */
export function reply(model: Model, messages: readonly ChatMessage[], options: WriteOptions): Promise<Written> {
  const format = chatFormat(model);
  return write(model, format.conversation(messages, true).tokens, { ...options, endTokens: format.endTokens });
}
