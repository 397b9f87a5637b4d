import type { GenerationResult } from "../client/api.ts";
import type { WireOptions } from "../protocol.ts";
import type { CompletionEvent } from "./edge.ts";
import { EdgeError } from "./errors.ts";
import type { HostGeneration } from "./host-model.ts";
import { outputFormat } from "./response-format.ts";

/** A completion's stream as the client gives it. An aborted signal ends it with the text that came until then. */
export async function* remoteGeneration(
  events: AsyncGenerator<CompletionEvent>,
  signal: AbortSignal,
  onEvent: (event: CompletionEvent) => void = () => {},
): HostGeneration {
  const begin = performance.now();
  let first: number | undefined;
  let text = "";
  let usage: CompletionEvent["usage"];
  let finish: "stop" | "length" | undefined;
  let seed = 0;
  try {
    for await (const event of events) {
      // Many may have arrived together: what was not shown yet is not part of what was stopped.
      if (signal.aborted) break;
      onEvent(event);
      const [choice] = event.choices ?? [];
      const piece = choice?.text ?? choice?.delta?.content ?? "";
      const before = usage?.completion_tokens ?? 0;
      usage = event.usage ?? usage;
      if (piece !== "") {
        first ??= performance.now() - begin;
        text += piece;
        const { prompt_tokens: prompt, completion_tokens: made } = usage ?? { prompt_tokens: 0, completion_tokens: 0 };
        yield { text: piece, tokens: made - before, length: prompt + made, at: performance.now() - begin };
      }
      finish = choice?.finish_reason ?? finish;
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
    completionTokens: usage?.completion_tokens ?? 0,
    seed,
    ...(first !== undefined && { firstTokenMs: first }),
    totalMs: performance.now() - begin,
    backend: "rest",
  };
  return result;
}

/** Options as the REST interface spells them. @throws ParameterError on a format that is none, as on every backend */
export function wireFields(options: WireOptions): Record<string, unknown> {
  const { maxTokens, topP, topK, minP, repetitionPenalty, frequencyPenalty, presencePenalty, ...others } = options;
  const { logitBias, responseFormat, ...same } = others;
  outputFormat(responseFormat);
  return {
    ...same,
    response_format: responseFormat,
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
