import { constraintFor } from "../../engine/constraint/output-format.ts";
import {
  type GeneratedToken,
  type GenerationChunk,
  type GenerationResult,
  generate,
  openingOf,
} from "../../engine/generate.ts";
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
import { type CompletionRequest, promptsOf, type Timings, type Usage } from "../schemas/completion.ts";
import { type CompletionPrompt, openPrompt } from "./completion-prompt.ts";
import { createLogprobsReport, type LogprobsReport } from "./logprobs-report.ts";
import { promptTokens } from "./prompt-tokens.ts";
import { requestedFormat } from "./requested-format.ts";
import { seedOf } from "./start-chat.ts";
import { samplingOptions } from "./start-generation.ts";
import { Tally } from "./tally.ts";
import { timingsOf } from "./timings.ts";
import { usageOf } from "./usage.ts";

export interface CompletionStart {
  readonly entry: CatalogEntry;
  readonly body: CompletionRequest;
  readonly owner: string;
  readonly signal: AbortSignal;
  /** of the request, for the metrics and the log. */
  readonly record?: RequestRecord | undefined;
}

/** What a choice's text begins with. */
export interface Echo {
  readonly text: string;
  /** with their log-probabilities, where these are asked for. */
  readonly tokens: readonly GeneratedToken[];
}

/** Completions of one or more prompts, under way. They hold a model and a state until they are closed. */
export interface CompletionGeneration {
  readonly model: Model;
  readonly prompts: number;
  /** choices that are generated of each prompt, and how many of them are given. */
  readonly candidates: number;
  readonly choices: number;
  /** of each prompt's first choice. */
  readonly seed: number;
  /** Prepares a choice and gives its echo; choices come one after another, in order. */
  begin(prompt: number, candidate: number): Promise<Echo | undefined>;
  /** The pieces of the choice that was begun. */
  pieces(): AsyncGenerator<GenerationChunk, GenerationResult>;
  /** For one choice; undefined when log-probabilities were not asked for. */
  logprobs(echo: Echo | undefined): LogprobsReport | undefined;
  /** so far. */
  usage(): Usage;
  timings(): Timings;
  /** Safe to call twice. */
  close(): void;
}

/**
 * Borrows the model and checks all that can only be checked then. Nothing is computed yet.
 * @throws ApiError and whatever loading a model throws; everything is then given back
 */
export async function startCompletion(
  env: Env,
  pool: ModelPool,
  request: CompletionStart,
): Promise<CompletionGeneration> {
  const { entry, body, signal, record } = request;
  const begun = performance.now();
  const limits = limitsOf(env);
  const format = requestedFormat(body);
  const lease = await pool.lease(entry.id, packageSource(env, entry), { limits, signal });
  const ended = record?.begin(entry.id);
  const tally = new Tally(record);
  let sequence: Sequence | undefined;
  let running: AsyncGenerator<GenerationChunk, GenerationResult> | undefined;
  const close = (): void => {
    tally.end();
    // One that is left between two pieces has its own leave to take.
    void running?.return(undefined as never).catch(() => {});
    sequence?.dispose();
    lease.release();
    ended?.();
  };
  try {
    const { model } = lease;
    const prompts = promptsOf(body.prompt).map(({ prompt, param }) => ({
      tokens: promptTokens(model, limits, prompt, param),
      text: typeof prompt === "string" ? prompt : undefined,
    }));
    const tokenizer = model.requireTokenizer();
    const choices = body.n ?? 1;
    const candidates = body.best_of ?? choices;
    const logprobs = body.logprobs ?? undefined;
    const scores = body.echo === true ? logprobs : undefined;
    const total = prompts.reduce((sum, { tokens }) => sum + openingOf(tokenizer, tokens).length + tokens.length, 0);
    const maxTokens = maxTokensWithin(model, limits, {
      promptTokens: total,
      promptParam: "prompt",
      cost: scores === undefined ? total : scoredCost(model, total),
      maxTokens: body.max_tokens ?? undefined,
      choices: prompts.length * candidates,
    });
    const constraint = format && constraintFor(tokenizer, format.format, format.param);
    constraint?.checkTokens(maxTokens);
    const seed = body.seed ?? randomSeed();
    const sampling = validateSampling({ ...samplingOptions(body), seed }, model.vocab);
    const ready = performance.now();
    record?.spend("load", ready - begun);
    let current: { prompt: CompletionPrompt; candidate: number } | undefined;
    let firstToken: number | undefined;

    async function begin(index: number, candidate: number): Promise<Echo | undefined> {
      const { tokens, text } = prompts[index]!;
      sequence?.dispose();
      sequence = undefined;
      let prompt = current?.prompt;
      if (candidate === 0 || prompt === undefined) {
        const start = performance.now();
        prompt = await openPrompt(env, model, tokens, {
          choices: candidates,
          scores,
          owner: body.store === false ? undefined : request.owner,
          text,
          record,
          signal,
          more: lease.more,
        });
        record?.spend("prefill", performance.now() - start);
        tally.count({ prompt: prompt.length, reused: prompt.cached, computed: prompt.computed });
      }
      sequence = prompt.sequence();
      current = { prompt, candidate };
      if (body.echo !== true) return undefined;
      return { text: text ?? tokenizer.decode(tokens), tokens: prompt.scored };
    }

    async function* pieces(): AsyncGenerator<GenerationChunk, GenerationResult> {
      const { prompt, candidate } = current!;
      tally.begin(sequence!, prompt.length);
      running = generate(sequence!, {
        prompt: [prompt.last],
        maxTokens,
        sampling: { ...sampling, seed: seedOf(seed, candidate) },
        stop: typeof body.stop === "string" ? [body.stop] : (body.stop ?? []),
        constraint,
        // Which of the candidates are the best shows in their log-probabilities.
        logprobs: logprobs ?? (candidates > choices ? 0 : undefined),
        keepHeld: false,
        signal,
        more: lease.more,
        onProgress: (done, all) => {
          if (done === all) firstToken ??= performance.now();
        },
      });
      const sampled: number[] = [];
      let reply = "";
      const note = (piece: GenerationChunk): void => {
        reply += piece.text;
        sampled.push(...piece.tokens.map(({ id }) => id));
      };
      let next = await running.next();
      for (; !next.done; next = await running.next()) {
        note(next.value);
        yield next.value;
      }
      const result = next.value;
      note(result.tail);
      tally.end();
      await prompt.keep(sequence!, reply, sampled);
      return result;
    }

    return {
      model,
      prompts: prompts.length,
      candidates,
      choices,
      seed,
      begin,
      pieces,
      logprobs(echo) {
        if (logprobs === undefined) return undefined;
        const raw = tokenizer.decode(echo?.tokens.map(({ id }) => id) ?? [], { continuing: true });
        return createLogprobsReport(tokenizer, { offset: echo === undefined ? 0 : echo.text.length - raw.length });
      },
      usage: () => usageOf(tally.tokens),
      timings: () => timingsOf(begun, ready, firstToken),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Tokens as many as cost what these do when each goes through the head too. */
function scoredCost({ multiplyAddsPerToken, multiplyAddsPerHead }: Model, tokens: number): number {
  return Math.ceil((tokens * (multiplyAddsPerToken + multiplyAddsPerHead)) / multiplyAddsPerToken);
}
