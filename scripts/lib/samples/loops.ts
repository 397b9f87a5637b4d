import type { Model } from "../../../worker/engine/model.ts";
import type { SamplingOptions } from "../../../worker/engine/sampling.ts";
import { SAMPLING, write } from "./writer.ts";

export interface LoopCheck {
  readonly tokens: number;
  /** distinct 4-grams of the first and of the last `span` tokens. */
  readonly first: number;
  readonly last: number;
  readonly span: number;
}

/** Writes a text of `length` tokens in one go, without an end, and counts how varied its beginning and its end are. */
export async function checkLoops(
  model: Model,
  prompt: string,
  length: number,
  seed: number,
  sampling: SamplingOptions = SAMPLING,
): Promise<LoopCheck> {
  const tokenizer = model.requireTokenizer();
  const banned = Array.from({ length: model.vocab }, (_, token) => token).filter((token) => tokenizer.isSpecial(token));
  const { tokens } = await write(model, tokenizer.encode(prompt), { seed, maxTokens: length, banned, sampling });
  const span = Math.min(2000, Math.floor(tokens.length / 2));
  return {
    tokens: tokens.length,
    first: distinct(tokens.slice(0, span), 4),
    last: distinct(tokens.slice(-span), 4),
    span,
  };
}

/** How many different runs of n tokens there are. */
export function distinct(tokens: readonly number[], n: number): number {
  const seen = new Set<string>();
  for (let i = 0; i + n <= tokens.length; i++) seen.add(tokens.slice(i, i + n).join(" "));
  return seen.size;
}
