import { constraintFor } from "../../engine/constraint/output-format.ts";
import { type GenerationChunk, type GenerationResult, generate } from "../../engine/generate.ts";
import type { Model } from "../../engine/model.ts";
import { randomSeed } from "../../engine/random.ts";
import { validateSampling } from "../../engine/sampling.ts";
import type { Sequence } from "../../engine/sequence.ts";
import { type Env, limitsOf } from "../env.ts";
import type { CatalogEntry } from "../models/catalog.ts";
import type { ModelPool } from "../models/model-pool.ts";
import { packageSource } from "../models/package-source.ts";
import { maxTokensWithin } from "../models/request-budget.ts";
import type { RequestRecord } from "../ops/request-record.ts";
import { type Boundary, boundaryHashes, MARK_TOKENS } from "../prefixes/boundary-hashes.ts";
import type { PrefixPlace } from "../prefixes/prefix-ledger.ts";
import { logged, openPrefixes, type Prefixes } from "../prefixes/prefixes.ts";
import type { ChatRequest } from "../schemas/chat.ts";
import type { Timings, Usage } from "../schemas/completion.ts";
import { type ChatPrompt, chatPrompt } from "./chat-prompt.ts";
import { bareSnapshot, prefill, sequenceAt } from "./prefill.ts";
import type { RequestedFormat } from "./requested-format.ts";
import { samplingOptions } from "./start-generation.ts";
import { Tally } from "./tally.ts";
import { timingsOf } from "./timings.ts";
import { usageOf } from "./usage.ts";

export interface ChatStart {
  readonly entry: CatalogEntry;
  readonly body: ChatRequest;
  readonly owner: string;
  readonly signal: AbortSignal;
  /** what the messages and max_tokens are called in the request, where it is of another kind. */
  readonly names?: { readonly messages: string; readonly maxTokens: string };
  /** looks for kept states also where body.store is false: the conversation's beginning was stored before. */
  readonly find?: boolean;
  /** milliseconds that the state after the reply outlives its last use; default as that of other states. */
  readonly replyTtl?: number;
  /** that the replies must have. */
  readonly format?: RequestedFormat | undefined;
  /** of the request, for the metrics and the log. */
  readonly record?: RequestRecord | undefined;
}

/** A chat that is under way. It holds a model and a state until it is closed. */
export interface ChatGeneration {
  readonly model: Model;
  /** tokens that end a reply. */
  readonly endTokens: ReadonlySet<number>;
  /** of the first choice. */
  readonly seed: number;
  readonly choices: number;
  /** The pieces of a choice. They are generated one after another, in order. */
  choice(index: number): AsyncGenerator<GenerationChunk, GenerationResult>;
  /** Keeps the states at the prompt's end and after the last choice's reply, where the reply's tokens are those of its text. */
  keep(reply: string): Promise<void>;
  /** Computes and keeps what `keep` could not take as it was. For after the reply; never rejects. */
  keepRest(): Promise<void>;
  /** Where the states are that this has kept, or will have when keepRest is done. */
  kept(): readonly PrefixPlace[];
  /** so far. */
  usage(): Usage;
  timings(): Timings;
  /** Safe to call twice. */
  close(): void;
}

/**
 * Borrows the model, finds the longest kept state of the conversation and computes the prompt from there to the end of its last
 * message.
 * @throws ApiError and whatever loading a model throws; everything is then given back
 */
export async function startChat(env: Env, pool: ModelPool, request: ChatStart): Promise<ChatGeneration> {
  const { entry, body, owner, signal, record } = request;
  const begin = performance.now();
  const limits = limitsOf(env);
  const lease = await pool.lease(entry.id, packageSource(env, entry), { limits, signal });
  const { model } = lease;
  const ended = record?.begin(entry.id);
  const tally = new Tally(record);
  let sequence: Sequence | undefined;
  let pieces: AsyncGenerator<GenerationChunk, GenerationResult> | undefined;
  const close = (): void => {
    tally.end();
    void pieces?.return(undefined as never).catch(() => {});
    sequence?.dispose();
    lease.release();
    ended?.();
  };
  const options = { signal, more: lease.more };
  try {
    const promptParam = request.names?.messages ?? "messages";
    const prompt = chatPrompt(model, limits, body.messages, promptParam);
    const { tokens } = prompt;
    const choices = body.n ?? 1;
    const asked = body.max_completion_tokens ?? body.max_tokens ?? undefined;
    const param = request.names?.maxTokens;
    const asking = { promptTokens: tokens.length, promptParam, maxTokens: asked, param, choices };
    const maxTokens = maxTokensWithin(model, limits, asking);
    const { format } = request;
    const constraint = format && constraintFor(model.requireTokenizer(), format.format, format.param);
    constraint?.checkTokens(maxTokens, request.names?.maxTokens);
    const seed = body.seed ?? randomSeed();
    const sampling = validateSampling({ ...samplingOptions({ ...body, logprobs: undefined }), seed }, model.vocab);
    const ready = performance.now();
    record?.spend("load", ready - begin);

    const boundaries = await boundaryHashes(tokens, prompt.boundaries);
    const [first] = boundaries;
    const keeps = body.store !== false;
    const known = first && (keeps || request.find) ? await openPrefixes(env, owner, model, first, record) : undefined;
    const prefixes = keeps ? known : undefined;
    // The last token is fed by generate(), which needs something to begin with.
    const usable = boundaries.filter((b) => b.tokens < tokens.length);
    const hit = await known?.find(usable);
    const end = usable.at(-1)?.tokens ?? 0;
    sequence = sequenceAt(model, tokens, hit?.snapshot);
    const cached = sequence.consumed;
    // What is generated is all behind the prompt.
    tally.begin(sequence, tokens.length, "prefill");
    const states = await prefill(sequence, tokens, end, prefixes ? worthKeeping(boundaries, end) : [], options);
    const stateAtBase = await bareSnapshot(sequence);
    const keeping: Promise<void>[] = prefixes && states.length > 0 ? [prefixes.put(states)] : [];
    const places = states.map(({ boundary }) => boundary);
    const rest: (() => Promise<void>)[] = [];
    tally.end();
    tally.count({ prompt: tokens.length, reused: cached });
    let sampled: number[] = [];
    let firstToken: number | undefined;

    async function* choice(index: number): AsyncGenerator<GenerationChunk, GenerationResult> {
      if (index > 0) {
        sequence!.dispose();
        sequence = sequenceAt(model, tokens, stateAtBase);
      }
      pieces = generate(sequence!, {
        prompt: tokens.slice(end),
        maxTokens,
        sampling: { ...sampling, seed: seedOf(seed, index) },
        stop: typeof body.stop === "string" ? [body.stop] : (body.stop ?? []),
        endTokens: prompt.format.endTokens,
        constraint,
        logprobs: body.logprobs === true ? (body.top_logprobs ?? 0) : undefined,
        keepHeld: false,
        ...options,
        onProgress: (done, total) => {
          if (done === total) firstToken ??= performance.now();
        },
      });
      sampled = [];
      tally.begin(sequence!, tokens.length);
      let next = await pieces.next();
      for (; !next.done; next = await pieces.next()) {
        sampled.push(...next.value.tokens.map(({ id }) => id));
        yield next.value;
      }
      sampled.push(...next.value.tail.tokens.map(({ id }) => id));
      tally.end();
      return next.value;
    }

    async function keep(reply: string): Promise<void> {
      if (prefixes !== undefined) {
        // A template may refuse two messages of the assistant in a row.
        const after = await afterReply(prompt, reply).catch(() => undefined);
        places.push(...worthKeeping(after?.boundaries ?? [], after?.tokens.length ?? 0));
        if (after !== undefined && isBeginning([...tokens, ...sampled].slice(0, sequence!.consumed), after.tokens)) {
          await extend(sequence!, prefixes, after).catch(logged("extend"));
        } else if (after !== undefined) {
          rest.push(() => extend(sequenceAt(model, tokens, stateAtBase), prefixes, after));
        }
      }
      await Promise.all(keeping);
    }

    /** Brings a sequence to the end of the conversation with its reply, and keeps the states on the way. */
    async function extend(from: Sequence, prefixes: Prefixes, after: AfterReply): Promise<void> {
      try {
        const { tokens: all, boundaries } = after;
        from.pending = [];
        const states = await prefill(from, all, all.length, worthKeeping(boundaries, all.length), { more: lease.more });
        // A reply that ended just where it was sampled needs no more tokens.
        const last = boundaries.at(-1)!;
        if (states.at(-1)?.boundary !== last) states.push({ boundary: last, snapshot: await bareSnapshot(from) });
        await prefixes.put(states, request.replyTtl);
      } finally {
        if (from !== sequence) from.dispose();
      }
    }

    return {
      model,
      endTokens: prompt.format.endTokens,
      seed,
      choices,
      choice,
      keep,
      async keepRest() {
        // A lease is for one sequence at a time.
        if (rest.length > 0) sequence?.dispose();
        for (const work of rest.splice(0)) await work().catch(logged("extend"));
      },
      kept: () => (prefixes === undefined ? [] : places.map(prefixes.place)),
      usage: () => usageOf(tally.tokens),
      timings: () => timingsOf(begin, ready, firstToken),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Of a choice: seed + index, from 2⁵³ − 1 on to 0. */
export function seedOf(seed: number, index: number): number {
  const left = Number.MAX_SAFE_INTEGER - seed;
  return index <= left ? seed + index : index - left - 1;
}

/** A conversation with its reply, up to the reply's end. */
interface AfterReply {
  readonly tokens: readonly number[];
  readonly boundaries: readonly Boundary[];
}

/** What the client will send next time begins with this. Nothing where the template writes the turns before it anew. */
async function afterReply(
  { format, messages, tokens, boundaries }: ChatPrompt,
  reply: string,
): Promise<AfterReply | undefined> {
  const after = format.conversation([...messages, { role: "assistant", content: reply }], false);
  const [end, last] = [after.boundaries.at(-1) ?? 0, boundaries.at(-1) ?? 0];
  if (end <= last || after.boundaries.length <= boundaries.length) return undefined;
  if (!isBeginning(tokens.slice(0, last), after.tokens)) return undefined;
  const all = after.tokens.slice(0, end);
  return { tokens: all, boundaries: await boundaryHashes(all, after.boundaries) };
}

function isBeginning(beginning: readonly number[], tokens: readonly number[]): boolean {
  return beginning.every((token, i) => token === tokens[i]);
}

/** The end of the last message, and the marks of a long prompt. */
function worthKeeping(boundaries: readonly Boundary[], end: number): Boundary[] {
  const last = boundaries.filter((b) => b.tokens <= end).at(-1);
  return boundaries.filter((b) => b === last || b.tokens % MARK_TOKENS === 0);
}
