import type { ChatMessage, GenerationResult, ModelInfo } from "../client/api.ts";
import type { WireOptions } from "../protocol.ts";
import type { CompletionEvent, Edge } from "./edge.ts";
import { EdgeError } from "./errors.ts";
import type { HostGeneration, HostModel, HostSession } from "./host-model.ts";

/** What of a reply to a prediction is used. A prediction of one number is a number. */
interface IclReply {
  readonly predictions: readonly (number | readonly number[])[];
  readonly before: readonly (number | readonly number[])[];
  readonly usage: { readonly state_bytes: number };
}

const vector = (value: number | readonly number[]): readonly number[] => (typeof value === "number" ? [value] : value);

/** A model that computes at the edge. */
export function remoteModel(edge: Edge, info: ModelInfo, reason: string): HostModel {
  return {
    info,
    backend: "rest",
    reason,
    generate: (prompt, options, signal) =>
      generation(edge.stream("/v1/completions", { model: info.id, prompt, ...fields(options) }, signal), signal),
    chat: (messages: readonly ChatMessage[], options, signal) =>
      generation(edge.stream("/v1/chat/completions", { model: info.id, messages, ...fields(options) }, signal), signal),
    session: async () => remoteSession(edge, info, undefined, 0),
    async predict(examples, queries, signal) {
      const begin = performance.now();
      const json = { model: info.id, examples, query: queries };
      const response = await edge.request("POST", "/v1/icl/predictions", { json, signal });
      const { predictions, before, usage } = (await response.json()) as IclReply;
      return {
        predictions: predictions.map(vector),
        before: before.map(vector),
        stateBytes: usage.state_bytes,
        totalMs: performance.now() - begin,
        backend: "rest",
      };
    },
    dispose() {},
  };
}

/** @param id of the edge's session; made when it is first needed */
export function remoteSession(edge: Edge, info: ModelInfo, id: string | undefined, tokens: number): HostSession {
  let [current, length] = [id, tokens];
  const ensure = async (): Promise<string> => {
    current ??= (await edge.createSession(info.id)).id;
    return current;
  };
  const copyOf = async (other: string): Promise<void> => {
    const copy = await edge.forkSession(other);
    [current, length] = [copy.id, copy.tokens];
  };
  return {
    get tokens() {
      return length;
    },
    async *append(text, options, signal) {
      const path = `/v1/sessions/${encodeURIComponent(await ensure())}/append`;
      const body = { ...(text !== "" && { text }), ...fields(options) };
      const result = yield* generation(edge.stream(path, body, signal), signal, (event) => {
        if (event.session !== undefined) current = event.session;
      });
      // A cancelled append leaves the edge's session as it was.
      if (result.finishReason !== "cancelled") length = result.promptTokens + result.completionTokens;
      return result.finishReason === "cancelled" ? { ...result, promptTokens: length, completionTokens: 0 } : result;
    },
    async fork() {
      if (current === undefined) return remoteSession(edge, info, undefined, 0);
      const copy = await edge.forkSession(current);
      return remoteSession(edge, info, copy.id, copy.tokens);
    },
    async save() {
      return edge.readState(await ensure());
    },
    async restore(bytes) {
      const target = await ensure();
      await edge.writeState(target, bytes);
      length = (await edge.readSession(target)).tokens;
    },
    async push(target) {
      if (target === undefined) return (await edge.forkSession(await ensure())).id;
      await edge.writeState(target, await edge.readState(await ensure()));
      return target;
    },
    // A session of another place goes on there: this one is a copy.
    pull: copyOf,
    dispose() {},
  };
}

async function* generation(
  events: AsyncGenerator<CompletionEvent>,
  signal: AbortSignal,
  onEvent: (event: CompletionEvent) => void = () => {},
): HostGeneration {
  const begin = performance.now();
  let first: number | undefined;
  let [text, pieces] = ["", 0];
  let [usage, finish, seed]: [CompletionEvent["usage"], "stop" | "length" | undefined, number] = [
    undefined,
    undefined,
    0,
  ];
  try {
    for await (const event of events) {
      onEvent(event);
      const [choice] = event.choices ?? [];
      const piece = choice?.text ?? choice?.delta?.content ?? "";
      if (piece !== "") {
        first ??= performance.now() - begin;
        text += piece;
        pieces++;
        yield { text: piece, tokens: 1, length: pieces, at: performance.now() - begin };
      }
      finish = choice?.finish_reason ?? finish;
      usage = event.usage ?? usage;
      seed = event.seed ?? seed;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (finish === undefined && !signal.aborted) throw new EdgeError("the edge's reply ended before its end: try again");
  const result: GenerationResult = {
    text,
    finishReason: finish ?? "cancelled",
    promptTokens: usage?.prompt_tokens ?? 0,
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
    completionTokens: usage?.completion_tokens ?? pieces,
    seed,
    ...(first !== undefined && { firstTokenMs: first }),
    totalMs: performance.now() - begin,
    backend: "rest",
  };
  return result;
}

/** Options as the REST interface spells them. */
function fields(options: WireOptions): Record<string, unknown> {
  const { maxTokens, topP, topK, minP, repetitionPenalty, frequencyPenalty, presencePenalty, logitBias, ...same } =
    options;
  return {
    ...same,
    max_tokens: maxTokens,
    top_p: topP,
    top_k: topK,
    min_p: minP,
    repetition_penalty: repetitionPenalty,
    frequency_penalty: frequencyPenalty,
    presence_penalty: presencePenalty,
    logit_bias: logitBias,
  };
}
