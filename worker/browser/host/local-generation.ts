import { ParameterError } from "../../engine/errors.ts";
import { type GenerationOptions, generate, opening } from "../../engine/generate.ts";
import type { Sequence } from "../../engine/sequence.ts";
import type { BackendName, GenerationResult } from "../client/api.ts";
import type { WireOptions } from "../protocol.ts";
import { EdgeError } from "./errors.ts";
import type { HostGeneration } from "./host-model.ts";
import { isOutOfMemory, type Rest } from "./refuge.ts";
import { constraintOf } from "./response-format.ts";

interface Run {
  readonly prompt: readonly number[];
  readonly options: WireOptions;
  readonly signal: AbortSignal;
  readonly backend: () => BackendName;
  readonly keepHeld: boolean;
  readonly endTokens?: ReadonlySet<number>;
  /** where the rest of it is computed when there is no more memory here. */
  readonly rescue?: ((sequence: Sequence, rest: Rest, cause: unknown) => HostGeneration) | undefined;
  /** the same from its beginning: a text in a format is not gone on with in its middle. Where there is a rescue. */
  readonly again?: ((options: WireOptions, cause: unknown, signal: AbortSignal) => HostGeneration) | undefined;
  /** when the caller's work began, on the clock of performance.now(). Default now. */
  readonly begin?: number;
}

const DEFAULT_TOKENS = 128;

/**
 * The engine's generation as the client gives it. A signal that is aborted while the prompt is read throws its reason; later it ends
 * the generation after a token, so that the sequence can go on as if it had been asked for that many.
 * @param onEnd given the sampled tokens before the sequence is left
 */
export async function* runGeneration(
  sequence: Sequence,
  { prompt, options, signal, backend, keepHeld, endTokens, rescue, again, begin = performance.now() }: Run,
  onEnd: (sampled: readonly number[]) => void = () => {},
): HostGeneration {
  const reading = new AbortController();
  let first: number | undefined;
  let cancelled = false;
  const abort = (): void => {
    if (first === undefined) reading.abort(signal.reason);
  };
  signal.throwIfAborted();
  const maxTokens = options.maxTokens ?? DEFAULT_TOKENS;
  const constraint = constraintOf(sequence.model.requireTokenizer(), options.responseFormat);
  constraint?.checkTokens(maxTokens, "maxTokens");
  if (constraint !== undefined && prompt.length === 0 && sequence.held.length + sequence.utf8.length > 0) {
    throw new ParameterError(
      "responseFormat is of a text from its beginning, and this session goes on in the middle of one, of which it holds back a piece: append a text first, or leave the format out",
      "responseFormat",
    );
  }
  signal.addEventListener("abort", abort);
  const engineOptions: GenerationOptions = {
    prompt,
    maxTokens,
    sampling: {
      ...pick(options),
      logitBias: new Map(Object.entries(options.logitBias ?? {}).map(([token, bias]) => [Number(token), bias])),
    },
    stop: options.stop ?? [],
    constraint,
    ...(endTokens && { endTokens }),
    keepHeld,
    signal: reading.signal,
    enough: () => {
      cancelled = signal.aborted;
      return cancelled;
    },
    onProgress: (done, total) => {
      if (done === total) first ??= performance.now() - begin;
    },
  };
  const before = { length: sequence.length, consumed: sequence.consumed };
  const promptTokens = before.length + opening(sequence, prompt).length + prompt.length;
  let text = "";
  const at = (): number => performance.now() - begin;
  try {
    const sampled: number[] = [];
    const pieces = generate(sequence, engineOptions);
    let next = await pieces.next();
    for (; !next.done; next = await pieces.next()) {
      text += next.value.text;
      sampled.push(...next.value.tokens.map(({ id }) => id));
      yield { text: next.value.text, tokens: next.value.tokens.length, length: sequence.length, at: at() };
    }
    const { tail, finishReason, promptTokens, cachedTokens, completionTokens, seed } = next.value;
    sampled.push(...tail.tokens.map(({ id }) => id));
    onEnd(sampled);
    if (tail.text !== "") {
      text += tail.text;
      yield { text: tail.text, tokens: tail.tokens.length, length: sequence.length, at: at() };
    }
    const result: GenerationResult = {
      text,
      finishReason: cancelled && finishReason === "length" ? "cancelled" : finishReason,
      ...{ promptTokens, cachedTokens, completionTokens, seed },
      ...(completionTokens > 0 && first !== undefined && { firstTokenMs: first }),
      totalMs: at(),
      backend: backend(),
    };
    return result;
  } catch (error) {
    if (rescue === undefined || !isOutOfMemory(error)) throw error;
    const seed = sequence.seed ?? 0;
    if (constraint !== undefined && again !== undefined) {
      const anew = (stop: AbortSignal): HostGeneration => again({ ...options, seed }, error, stop);
      const result = yield* behind(text, anew, signal, at);
      return {
        ...result,
        cachedTokens: before.consumed,
        totalMs: at(),
        ...(first !== undefined && { firstTokenMs: first }),
      };
    }
    const done = sequence.length - promptTokens;
    const rest = { options: { ...options, maxTokens: maxTokens - done, seed }, endTokens, keepHeld, signal };
    const chunks = rescue(sequence, rest, error);
    let next = await chunks.next();
    for (; !next.done; next = await chunks.next()) {
      first ??= at();
      yield { ...next.value, at: at() };
    }
    const { finishReason, completionTokens } = next.value;
    return {
      text: text + next.value.text,
      ...{ finishReason, promptTokens, seed },
      cachedTokens: before.consumed,
      completionTokens: done + completionTokens,
      ...(first !== undefined && { firstTokenMs: first }),
      totalMs: at(),
      backend: "rest",
    };
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/**
 * A generation without the text that was given out before. It is drawn with the same seed, so it begins with that; only behind it the
 * signal ends it, so that what a session keeps is not less than what was given out.
 * @throws EdgeError when it does not begin so
 */
async function* behind(
  given: string,
  begin: (signal: AbortSignal) => HostGeneration,
  signal: AbortSignal,
  at: () => number,
): HostGeneration {
  let left = given;
  const stop = new AbortController();
  const abort = (): void => {
    if (left === "") stop.abort(signal.reason);
  };
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  try {
    const chunks = begin(stop.signal);
    let next = await chunks.next();
    for (; !next.done; next = await chunks.next()) {
      const { text } = next.value;
      const known = Math.min(left.length, text.length);
      if (!left.startsWith(text.slice(0, known))) {
        await chunks.return(undefined as never);
        throw new EdgeError(
          "this browser's memory ran out in the middle of a text in a format, and the edge, which was asked for it anew, came to another one: generate it again",
        );
      }
      left = left.slice(known);
      if (text.length > known) yield { ...next.value, text: text.slice(known), at: at() };
      if (signal.aborted) abort();
    }
    return next.value;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function pick(options: WireOptions): GenerationOptions["sampling"] {
  const { temperature, topP, topK, minP, repetitionPenalty, frequencyPenalty, presencePenalty, seed } = options;
  return { temperature, topP, topK, minP, repetitionPenalty, frequencyPenalty, presencePenalty, seed };
}
