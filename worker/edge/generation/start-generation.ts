import { constraintFor } from "../../engine/constraint/output-format.ts";
import {
  type GenerationChunk,
  type GenerationOptions,
  type GenerationResult,
  generate,
  openingOf,
} from "../../engine/generate.ts";
import type { Model } from "../../engine/model.ts";
import type { SamplingOptions } from "../../engine/sampling.ts";
import { Sequence } from "../../engine/sequence.ts";
import { restoreSnapshot, type Snapshot } from "../../engine/snapshot.ts";
import { type Env, limitsOf } from "../env.ts";
import { badValue } from "../http/api-error.ts";
import type { CatalogEntry } from "../models/catalog.ts";
import type { ModelPool } from "../models/model-pool.ts";
import { packageSource } from "../models/package-source.ts";
import { maxTokensWithin } from "../models/request-budget.ts";
import type { RequestRecord } from "../ops/request-record.ts";
import type { Timings, Usage } from "../schemas/completion.ts";
import type { FormatFields } from "../schemas/format.ts";
import type { GenerationFields } from "../schemas/generation.ts";
import { createLogprobsReport, type LogprobsReport } from "./logprobs-report.ts";
import { beginMarkedAppend, type Marks } from "./marked-append.ts";
import { promptTokens } from "./prompt-tokens.ts";
import { requestedFormat } from "./requested-format.ts";
import { Tally } from "./tally.ts";
import { timingsOf } from "./timings.ts";
import { usageOf } from "./usage.ts";

export interface GenerationRequest {
  readonly entry: CatalogEntry;
  /** what to feed first; undefined to go on from the snapshot. */
  readonly prompt: string | readonly number[] | undefined;
  /** the field that the prompt came in, for messages. */
  readonly param: string;
  readonly fields: GenerationFields & FormatFields;
  /** where the sequence goes on. It was checked when it was stored. */
  readonly snapshot?: Snapshot | undefined;
  /** that end the reply besides the end-of-text token. */
  readonly endTokens?: ReadonlySet<number>;
  /** a session: text that may become a stop string is kept for the next request. */
  readonly keepHeld: boolean;
  readonly signal: AbortSignal;
  /** asked after each token: true ends the reply there, as max_tokens would. */
  readonly enough?: (() => boolean) | undefined;
  /** where a long prompt's states are kept on the way. */
  readonly marks?: Marks | undefined;
  /** of the request, for the metrics and the log. */
  readonly record?: RequestRecord | undefined;
}

/** A generation that is under way. It holds a model and a state until it is closed. */
export interface Generation {
  readonly model: Model;
  readonly sequence: Sequence;
  readonly pieces: AsyncGenerator<GenerationChunk, GenerationResult>;
  /** present when the request asked for log-probabilities. */
  readonly logprobs: LogprobsReport | undefined;
  /** so far. */
  usage(): Usage;
  timings(): Timings;
  /** Safe to call twice. */
  close(): void;
}

/**
 * Borrows the model, restores or makes the sequence, and checks all that can only be checked then. Nothing is computed yet.
 * @throws ApiError and whatever loading a model throws; everything is then given back
 */
export async function startGeneration(env: Env, pool: ModelPool, request: GenerationRequest): Promise<Generation> {
  const { entry, fields, signal } = request;
  const begin = performance.now();
  const limits = limitsOf(env);
  const format = requestedFormat(fields);
  const lease = await pool.lease(entry.id, packageSource(env, entry), { limits, signal });
  let sequence: Sequence | undefined;
  let pieces: Generation["pieces"] | undefined;
  const end = request.record?.begin(entry.id);
  const tally = new Tally(request.record);
  const close = (): void => {
    tally.end();
    // One that is left between two pieces has its own leave to take.
    void pieces?.return(undefined as never).catch(() => {});
    sequence?.dispose();
    lease.release();
    end?.();
  };
  try {
    const { model } = lease;
    const prompt = promptTokens(model, limits, request.prompt, request.param);
    const { snapshot, marks } = request;
    const fed = prompt.length + (snapshot?.pending.length ?? openingOf(model.requireTokenizer(), prompt).length);
    const given = (snapshot?.consumed ?? 0) + fed;
    const maxTokens = maxTokensWithin(model, limits, {
      promptTokens: given,
      promptParam: request.param,
      cost: fed,
      maxTokens: fields.max_tokens ?? undefined,
    });
    const constraint = format && constraintFor(model.requireTokenizer(), format.format, format.param);
    constraint?.checkTokens(maxTokens);
    sequence =
      snapshot === undefined ? new Sequence(model) : restoreSnapshot(model, snapshot, { otherQuantization: true });
    if (format !== undefined && prompt.length === 0 && sequence.held.length + sequence.utf8.length > 0) {
      throw badValue(
        format.param,
        `${format.param} is of a reply from its beginning, and this session goes on in the middle of a text, of which it holds back a piece: append a text first, or leave the format out`,
      );
    }
    const marked = marks && (await beginMarkedAppend(model, sequence, prompt, marks));
    sequence = marked?.sequence ?? sequence;
    const logprobs = fields.logprobs ?? undefined;
    // Without new text it goes on with what the sequence held back.
    const start = prompt.length === 0 ? { utf8: sequence.utf8, offset: sequence.held.length } : {};
    const report = logprobs === undefined ? undefined : createLogprobsReport(model.requireTokenizer(), start);
    const stop = typeof fields.stop === "string" ? [fields.stop] : (fields.stop ?? []);
    const reused = sequence.consumed;
    const ready = performance.now();
    let first: number | undefined;
    request.record?.spend("load", ready - begin);
    const options: GenerationOptions = {
      prompt,
      maxTokens,
      sampling: samplingOptions(fields),
      stop,
      constraint,
      logprobs,
      ...(request.endTokens && { endTokens: request.endTokens }),
      ...(request.enough && { enough: request.enough }),
      keepHeld: request.keepHeld,
      signal,
      more: lease.more,
      onProgress: (done, total) => {
        if (done === total) promptRead();
      },
    };
    pieces = counted(sequence, marked?.generate(options) ?? generate(sequence, options));
    const timings = (): Timings => timingsOf(begin, ready, first);
    const usage = (): Usage => usageOf(tally.tokens);
    return { model, sequence, pieces, logprobs: report, usage, timings, close };

    function promptRead(): void {
      if (first !== undefined) return;
      first = performance.now();
      tally.prefilled();
      tally.count({ prompt: given, reused });
    }

    async function* counted(of: Sequence, source: Generation["pieces"]): Generation["pieces"] {
      tally.begin(of, given, "prefill");
      const result = yield* source;
      promptRead();
      tally.end();
      return result;
    }
  } catch (error) {
    close();
    throw error;
  }
}

/** The engine's options for a request's fields. */
export function samplingOptions(fields: GenerationFields): SamplingOptions {
  const bias = Object.entries(fields.logit_bias ?? {}).map(([token, value]): [number, number] => [
    Number(token),
    value,
  ]);
  return {
    temperature: fields.temperature ?? undefined,
    topP: fields.top_p ?? undefined,
    topK: fields.top_k ?? undefined,
    minP: fields.min_p ?? undefined,
    typicalP: fields.typical_p ?? undefined,
    repetitionPenalty: fields.repetition_penalty ?? undefined,
    frequencyPenalty: fields.frequency_penalty ?? undefined,
    presencePenalty: fields.presence_penalty ?? undefined,
    logitBias: new Map(bias),
    seed: fields.seed ?? undefined,
  };
}
