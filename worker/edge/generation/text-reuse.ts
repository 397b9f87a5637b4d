import {
  type GenerationChunk,
  type GenerationOptions,
  type GenerationResult,
  generate,
} from "../../engine/generate.ts";
import type { Model } from "../../engine/model.ts";
import { PenaltyWindow } from "../../engine/penalty-window.ts";
import { validateSampling } from "../../engine/sampling.ts";
import type { Sequence } from "../../engine/sequence.ts";
import type { Env } from "../env.ts";
import type { RequestRecord } from "../ops/request-record.ts";
import { type Boundary, MARK_TOKENS, tokensHash } from "../prefixes/boundary-hashes.ts";
import { openPrefixes } from "../prefixes/prefixes.ts";
import { bareSnapshot, prefill, sequenceAt } from "./prefill.ts";

/** Shorter prompts are computed faster than a state is found. */
const LEAST_TOKENS = 64;
/** Texts that begin with the same tokens are kept in one place. */
const ROOT_TOKENS = 16;

/** A generation that goes on from the longest kept state of its prompt. */
export interface TextReuse {
  readonly sequence: Sequence;
  /** As generate() without reuse: the same text, and a result that counts what came from the kept state. */
  generate(options: GenerationOptions): AsyncGenerator<GenerationChunk, GenerationResult>;
}

/**
 * Finds the longest kept state of a prompt, for clients that send a text again with more behind it.
 * @param text what the tokens were made from, where they were: what it and the reply make together is kept too
 * @returns undefined when the prompt is short or nothing is kept here
 */
export async function beginTextReuse(
  env: Env,
  owner: string,
  model: Model,
  prompt: readonly number[],
  text: string | undefined,
  record?: RequestRecord,
): Promise<TextReuse | undefined> {
  if (prompt.length < LEAST_TOKENS) return undefined;
  const tokenizer = model.requireTokenizer();
  const { endOfText } = tokenizer;
  const opening = endOfText === undefined || prompt[0] === endOfText ? [] : [endOfText];
  const tokens = [...opening, ...prompt];
  const prefixes = await openPrefixes(env, owner, model, await boundaryAt(tokens, ROOT_TOKENS), record);
  if (prefixes === undefined) return undefined;
  // The last token is fed with what follows it: another text may go on inside of its word.
  const base = tokens.length - 1;
  const hit = await prefixes.findIn(tokens.slice(0, base));
  const sequence = sequenceAt(model, tokens, hit?.snapshot);
  const cached = sequence.consumed;

  async function* run(options: GenerationOptions): AsyncGenerator<GenerationChunk, GenerationResult> {
    validateSampling({ ...options.sampling, seed: options.sampling.seed ?? 0 }, model.vocab);
    const marks = Array.from({ length: Math.floor(base / MARK_TOKENS) }, (_, i) => (i + 1) * MARK_TOKENS);
    const places = await Promise.all([...new Set([...marks, base])].map((end) => boundaryAt(tokens, end)));
    const { signal, more } = options;
    const states = await prefill(sequence, tokens, base, places, { signal, more });
    const keeping = states.length > 0 ? prefixes!.put(states) : undefined;
    // The opening token is none of the prompt's: generate() leaves it out of the penalties' window.
    sequence.window = new PenaltyWindow();
    sequence.window.pushAll(prompt.slice(0, -1), false);
    const prefilled = sequence.consumed - cached;

    const pieces = generate(sequence, { ...options, prompt: prompt.slice(-1) });
    const sampled: number[] = [];
    let reply = "";
    const note = (piece: GenerationChunk): void => {
      reply += piece.text;
      sampled.push(...piece.tokens.map(({ id }) => id));
    };
    let next = await pieces.next();
    for (; !next.done; next = await pieces.next()) {
      note(next.value);
      yield next.value;
    }
    const result = next.value;
    note(result.tail);
    if (text !== undefined && sequence.consumed > base) await keepReply(`${text}${reply}`, sampled);
    await keeping;
    return { ...result, cachedTokens: cached, computedTokens: prefilled + result.computedTokens };
  }

  /** Where the whole text has the tokens that were sampled, it is gone on from at its end. */
  async function keepReply(whole: string, sampled: readonly number[]): Promise<void> {
    const canonical = [...opening, ...tokenizer.encode(whole)];
    const fed = [...tokens, ...sampled].slice(0, sequence.consumed);
    if (fed.some((token, i) => token !== canonical[i])) return;
    const boundary = await boundaryAt(fed, fed.length);
    await prefixes!.put([{ boundary, snapshot: await bareSnapshot(sequence) }]);
  }

  return { sequence, generate: run };
}

async function boundaryAt(tokens: readonly number[], end: number): Promise<Boundary> {
  return { tokens: end, hash: await tokensHash(tokens.slice(0, end)) };
}
