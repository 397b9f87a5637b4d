import { type GeneratedToken, openingOf } from "../../engine/generate.ts";
import { nextMacrotask } from "../../engine/macrotask.ts";
import type { Model } from "../../engine/model.ts";
import { PenaltyWindow } from "../../engine/penalty-window.ts";
import { scoresOf } from "../../engine/sampling.ts";
import type { FeedOptions, Sequence } from "../../engine/sequence.ts";
import type { Env } from "../env.ts";
import type { RequestRecord } from "../ops/request-record.ts";
import { type Boundary, MARK_TOKENS, tokensHash } from "../prefixes/boundary-hashes.ts";
import { openPrefixes, type Prefixes } from "../prefixes/prefixes.ts";
import { bareSnapshot, prefill, sequenceAt } from "./prefill.ts";

/** Shorter prompts are computed faster than a state is found. */
const LEAST_TOKENS = 64;
/** Texts that begin with the same tokens are kept in one place. */
const ROOT_TOKENS = 16;
/** Positions computed one by one between two macrotasks. */
const POSITIONS_A_PIECE = 16;

export interface PromptOptions extends Pick<FeedOptions, "signal" | "more"> {
  /** sequences that go on from the prompt, one after another. */
  readonly choices: number;
  /** alternatives to score the prompt's own tokens with; absent scores none. */
  readonly scores?: number | undefined;
  /** whose kept states the prompt goes on from; absent where none are. */
  readonly owner?: string | undefined;
  /** what the tokens were made from, where they were: what it and a reply make together is kept too. */
  readonly text?: string | undefined;
  readonly record?: RequestRecord | undefined;
}

/** A prompt that went through the model, all but its last token: that is fed with what follows it. */
export interface CompletionPrompt {
  /** what is fed next. */
  readonly last: number;
  /** tokens in all, `<|endoftext|>` in front included. */
  readonly length: number;
  /** tokens that came from a kept state. */
  readonly cached: number;
  /** tokens that went through the model. */
  readonly computed: number;
  /** the prompt's own tokens with their log-probabilities, which the first one has not; empty unless asked for. */
  readonly scored: readonly GeneratedToken[];
  /** A sequence at the prompt's end. The one before must be disposed of. */
  sequence(): Sequence;
  /** Keeps the state after a reply, where the whole text has the tokens that were sampled. */
  keep(sequence: Sequence, reply: string, sampled: readonly number[]): Promise<void>;
}

/**
 * Computes a prompt, from its longest kept state where it is long and its client sends it again with more behind it.
 * @throws what Sequence.feed throws
 */
export async function openPrompt(
  env: Env,
  model: Model,
  prompt: readonly number[],
  options: PromptOptions,
): Promise<CompletionPrompt> {
  const { owner, text, scores, signal, more, record } = options;
  const tokenizer = model.requireTokenizer();
  const opening = openingOf(tokenizer, prompt);
  const tokens = [...opening, ...prompt];
  const base = tokens.length - 1;
  // To score every token, every token must be computed.
  const reuses = owner !== undefined && prompt.length >= LEAST_TOKENS && scores === undefined;
  const prefixes = reuses
    ? await openPrefixes(env, owner, model, await boundaryAt(tokens, ROOT_TOKENS), record)
    : undefined;
  const hit = await prefixes?.findIn(tokens.slice(0, base));
  const sequence = sequenceAt(model, tokens, hit?.snapshot);
  const cached = sequence.consumed;
  try {
    const scored = scores === undefined ? [] : await score(sequence, tokens, scores, { signal, more });
    const places = prefixes === undefined ? [] : await placesOf(tokens, base);
    const states = await prefill(sequence, tokens, base, places, { signal, more });
    const keeping = states.length > 0 ? prefixes?.put(states) : undefined;
    const computed = sequence.consumed - cached;
    const snapshot = options.choices > 1 ? await bareSnapshot(sequence) : undefined;
    let next: Sequence | undefined = sequence;
    return {
      last: tokens[base]!,
      length: tokens.length,
      cached,
      computed,
      // As OpenAI has it, the prompt's first token is not scored, though here one stands before it.
      scored: scored.slice(opening.length).map((token, i) => (i === 0 ? { id: token.id } : token)),
      sequence() {
        const made = next ?? sequenceAt(model, tokens, snapshot);
        next = undefined;
        // The opening token is none of the prompt's: the penalties' window leaves it out.
        made.window = new PenaltyWindow();
        made.window.pushAll(prompt.slice(0, -1), false);
        return made;
      },
      async keep(after, reply, sampled) {
        if (prefixes !== undefined && text !== undefined && after.consumed > base) {
          await keepReply(prefixes, after, `${text}${reply}`, sampled);
        }
        await keeping;
      },
    };
  } catch (error) {
    record?.count({ computed: sequence.consumed - cached });
    sequence.dispose();
    throw error;
  }

  /** Where the whole text has the tokens that were sampled, it is gone on from at its end. */
  async function keepReply(
    prefixes: Prefixes,
    after: Sequence,
    whole: string,
    sampled: readonly number[],
  ): Promise<void> {
    const canonical = [...opening, ...tokenizer.encode(whole)];
    const fed = [...tokens, ...sampled].slice(0, after.consumed);
    if (fed.some((token, i) => token !== canonical[i])) return;
    const boundary = await boundaryAt(fed, fed.length);
    await prefixes.put([{ boundary, snapshot: await bareSnapshot(after) }]);
  }
}

/** Feeds all tokens but the last one by one. The first one has nothing in front to be expected from. */
async function score(
  sequence: Sequence,
  tokens: readonly number[],
  count: number,
  options: Pick<FeedOptions, "signal" | "more">,
): Promise<GeneratedToken[]> {
  const scored: GeneratedToken[] = [{ id: tokens[0]! }];
  for (const [i, token] of tokens.slice(1).entries()) {
    const { logits } = await sequence.feed([tokens[i]!], { ...options, logits: true });
    scored.push({ id: token, ...scoresOf(logits, token, count) });
    if (i % POSITIONS_A_PIECE === POSITIONS_A_PIECE - 1) await nextMacrotask();
  }
  return scored;
}

/** The marks of a long prompt, and where it is gone on from. */
function placesOf(tokens: readonly number[], base: number): Promise<Boundary[]> {
  const marks = Array.from({ length: Math.floor(base / MARK_TOKENS) }, (_, i) => (i + 1) * MARK_TOKENS);
  return Promise.all([...new Set([...marks, base])].map((end) => boundaryAt(tokens, end)));
}

async function boundaryAt(tokens: readonly number[], end: number): Promise<Boundary> {
  return { tokens: end, hash: await tokensHash(tokens.slice(0, end)) };
}
