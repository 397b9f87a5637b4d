import { Ahead, samplingOnBackend } from "./ahead.ts";
import type { Constraint } from "./constraint/constraint.ts";
import { ParameterError } from "./errors.ts";
import { nextMacrotask } from "./macrotask.ts";
import { draw } from "./random.ts";
import { type Sample, type SamplingOptions, sample, validateSampling } from "./sampling.ts";
import type { FeedOptions, Sequence } from "./sequence.ts";
import { StopMatcher } from "./stop-strings.ts";
import type { TextTokenizer } from "./tokenizer.ts";
import { Utf8Stream } from "./utf8-stream.ts";

/** Multiply-adds between two macrotasks while decoding. */
const PIECE_MULTIPLY_ADDS = 150_000_000;

export interface GenerationOptions extends Pick<FeedOptions, "signal" | "more" | "onProgress"> {
  /** new tokens in front of what is generated; may be empty when the sequence can go on by itself. */
  readonly prompt: readonly number[];
  /** 0 appends the prompt and generates nothing. */
  readonly maxTokens: number;
  /** without a seed, the sequence's last is used, else a random one. */
  readonly sampling: SamplingOptions;
  readonly stop?: readonly string[];
  /** a format that the text has: it is closed within maxTokens, unless a stop string cuts it. See constraint/output-format.ts. */
  readonly constraint?: Constraint | undefined;
  /** tokens that end the reply besides the tokenizer's control tokens. */
  readonly endTokens?: ReadonlySet<number>;
  /** how many alternatives to report a token, and each token's own log-probability; absent reports none. */
  readonly logprobs?: number | undefined;
  /**
   * Whether text that could still become a character or a stop string is kept for a continuation (a session) or given out at the
   * end (a single completion).
   */
  readonly keepHeld?: boolean;
  /** Asked after each token; true ends the generation there, as maxTokens would. */
  readonly enough?: () => boolean;
}

export interface GeneratedToken {
  readonly id: number;
  /** ln p under the model itself; when asked for. */
  readonly logprob?: number;
  /** the most probable tokens with their ln p, in order; when asked for. */
  readonly top?: readonly (readonly [token: number, logprob: number])[];
}

/** A piece of what was generated: text that is final, and the tokens sampled since the last piece. */
export interface GenerationChunk {
  readonly text: string;
  readonly tokens: readonly GeneratedToken[];
}

export interface GenerationResult {
  /** "stop": a stop string, a control token or one of endTokens, or the end of what the constraint allows; "length": max_tokens, or enough. */
  readonly finishReason: "stop" | "length";
  /** tokens in front of the first generated one. */
  readonly promptTokens: number;
  /** those of them that came from the stored state. */
  readonly cachedTokens: number;
  /** tokens that went through the model in this call. */
  readonly computedTokens: number;
  readonly completionTokens: number;
  readonly seed: number;
  /** the last piece of text. */
  readonly tail: GenerationChunk;
}

/**
 * Feeds a prompt and generates. The draw for the token at index p of the sequence depends on (seed, p) alone, so that a generation cut
 * in two anywhere gives the text of one that was not.
 *
 * Control tokens are never given out as text: a sampled one ends the generation. A token that ends it stays pending: sampled, not yet
 * fed. A stop string stays part of the sequence's past, though it is not given out.
 *
 * @throws ParameterError on sampling or maxTokens out of range, nothing to continue or too few tokens for the format, before anything is fed; the signal's reason when aborted (the sequence is then part-way)
 */
export async function* generate(
  sequence: Sequence,
  options: GenerationOptions,
): AsyncGenerator<GenerationChunk, GenerationResult> {
  const { model } = sequence;
  const tokenizer = model.requireTokenizer();
  const sampling = validateSampling({ ...options.sampling, seed: options.sampling.seed ?? sequence.seed }, model.vocab);
  const { seed } = sampling;
  checkMaxTokens(options.maxTokens);
  const ends = new Set(options.endTokens);
  if (tokenizer.endOfText !== undefined) ends.add(tokenizer.endOfText);
  const format = options.constraint?.begin(options.maxTokens, ends);
  const cachedTokens = sequence.consumed;
  if (sequence.length === 0 && options.prompt.length === 0) {
    throw new ParameterError(
      "the sequence is empty: there is nothing to continue, give a prompt of at least one token",
      "prompt",
    );
  }
  const input = [...opening(sequence, options.prompt), ...sequence.pending, ...options.prompt];
  const promptTokens = cachedTokens + input.length;
  if (options.prompt.length > 0) {
    // What was held back belonged to a text that now ends: it stays in the past as tokens.
    sequence.utf8 = new Uint8Array(0);
    sequence.held = "";
  }
  sequence.window.pushAll(options.prompt, false);
  sequence.seed = seed;

  // The last token is fed only when something is to be generated from it: an appended text then continues like an unbroken one.
  const last = input.length - 1;
  if (options.maxTokens === 0) {
    const from = sequence.consumed;
    try {
      await sequence.feed(input.slice(0, last), options);
    } finally {
      sequence.pending = input.slice(sequence.consumed - from);
    }
    return result("length", 0, { text: "", tokens: [] });
  }

  const utf8 = new Utf8Stream(sequence.utf8);
  const stops = new StopMatcher(options.stop ?? [], sequence.held);
  const piece = Math.max(1, Math.floor(PIECE_MULTIPLY_ADDS / model.multiplyAddsPerToken));
  let tokens: GeneratedToken[] = [];
  let next: readonly number[] = input;
  sequence.pending = [];
  const leave = model.batcher.join();
  let ahead: Ahead | undefined;
  try {
    for (let generated = 1; ; generated++) {
      const from = sequence.consumed;
      const sampled = await step(options.maxTokens - generated + 1).catch((error: unknown) => {
        // The sequence says where it stopped, so that its past can be gone on from elsewhere.
        sequence.pending = next.slice(sequence.consumed - from);
        sequence.utf8 = utf8.pending;
        sequence.held = stops.held;
        throw error;
      });
      sequence.window.push(sampled.token, true);
      sequence.pending = [sampled.token];
      tokens.push(toGenerated(sampled));

      // A control token, such as the end of a text or of a turn, is no text: where one is sampled, the text has ended.
      const ended = ends.has(sampled.token) || tokenizer.isSpecial(sampled.token);
      const bytes = tokenizer.bytes(sampled.token);
      const pushed = ended ? { text: "" } : stops.push(utf8.push(bytes));
      if (!ended) format?.advance(sampled.token, bytes);
      const complete = format?.complete === true || (generated === options.maxTokens && format?.closed === true);
      const stopped = ended || pushed.stopped !== undefined || complete;
      if (stopped || generated === options.maxTokens || options.enough?.() === true) {
        let { text } = pushed;
        const cut = pushed.stopped !== undefined;
        if (ended || (!cut && (complete || options.keepHeld !== true))) text += flush(utf8, stops);
        sequence.utf8 = stopped ? new Uint8Array(0) : utf8.pending;
        sequence.held = stopped ? "" : stops.held;
        return result(stopped ? "stop" : "length", generated, { text, tokens });
      }
      if (pushed.text !== "") {
        yield { text: pushed.text, tokens };
        tokens = [];
      }
      if (generated % piece === 0) await nextMacrotask();
      // Before the token is taken from the sequence, whose length stays what was generated.
      options.signal?.throwIfAborted();
      next = sequence.pending;
      sequence.pending = [];
    }
  } finally {
    leave();
    await ahead?.settle();
  }

  /** Feeds what comes next and chooses the token after it. @param left tokens that may be wanted, this one included */
  async function step(left: number): Promise<Sample> {
    const needsLogits = format !== undefined || options.logprobs !== undefined;
    const onBackend = next.length === 1 && model.ready && samplingOnBackend(sequence, sampling, needsLogits);
    if (onBackend) {
      options.signal?.throwIfAborted();
      ahead ??= new Ahead(sequence, onBackend);
      const token = await ahead.next(next[0]!, left);
      options.onProgress?.(1, 1);
      return { token };
    }
    await ahead?.settle();
    ahead = undefined;
    const { logits } = await sequence.feed(next, { ...options, logits: true });
    return sample(logits, sampling, sequence.window, draw(seed, sequence.consumed), {
      logprobs: options.logprobs,
      allowed: format?.allowed(logits.length),
    });
  }

  function result(finishReason: "stop" | "length", completionTokens: number, tail: GenerationChunk): GenerationResult {
    const computedTokens = sequence.consumed - cachedTokens;
    return { finishReason, promptTokens, cachedTokens, computedTokens, completionTokens, seed, tail };
  }
}

/** No count of tokens would ever come to any other number. */
function checkMaxTokens(maxTokens: number): void {
  if (Number.isInteger(maxTokens) && maxTokens >= 0) return;
  const seen = typeof maxTokens === "string" ? `"${maxTokens}"` : String(maxTokens);
  throw new ParameterError(`maxTokens is ${seen}: it must be a whole number from 0`, "maxTokens");
}

/** The text that a sequence holds back, given out because nothing comes after it. */
export function heldText({ utf8, held }: { utf8: Uint8Array; held: string }, stop: readonly string[]): string {
  return flush(new Utf8Stream(utf8), new StopMatcher(stop, held));
}

/** What a sequence is fed in front of a prompt. */
export function opening(sequence: Sequence, prompt: readonly number[]): number[] {
  return sequence.length === 0 ? openingOf(sequence.model.tokenizer, prompt) : [];
}

/** A fresh sequence is fed the end-of-text token first, as in training, unless the prompt brings its own. */
export function openingOf(tokenizer: TextTokenizer | undefined, prompt: readonly number[]): number[] {
  const token = tokenizer?.endOfText;
  return token !== undefined && prompt[0] !== token ? [token] : [];
}

/** What is left at the end: an unfinished character becomes U+FFFD, and it may complete a stop string's false start. */
function flush(utf8: Utf8Stream, stops: StopMatcher): string {
  const rest = stops.push(utf8.flush());
  return rest.stopped === undefined ? rest.text + stops.flush() : rest.text;
}

function toGenerated({ token, ...scores }: Sample): GeneratedToken {
  return { id: token, ...scores };
}
