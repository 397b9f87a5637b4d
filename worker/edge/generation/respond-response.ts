import type { Context } from "hono";
import type { GeneratedToken, GenerationChunk, GenerationResult } from "../../engine/generate.ts";
import type { AppEnv } from "../env.ts";
import { eventStream } from "../http/event-stream.ts";
import type { PrefixPlace } from "../prefixes/prefix-ledger.ts";
import type { ChatLogprobs } from "../schemas/chat.ts";
import type { OutputPart, ResponseObject } from "../schemas/response.ts";
import { chatLogprobs } from "./chat-logprobs.ts";
import { wholeReply } from "./respond-chat.ts";
import { createResponseEvents } from "./response-events.ts";
import { newItemId } from "./response-input.ts";
import type { ChatGeneration } from "./start-chat.ts";

export interface RespondResponseOptions {
  /** the response as it begins. */
  readonly begun: ResponseObject;
  readonly stream: boolean;
  readonly logprobs: boolean;
  /** Keeps the response. What it throws is the reply. @param states where states of it are kept */
  readonly store: ((response: ResponseObject, states: readonly PrefixPlace[]) => Promise<void>) | undefined;
}

/**
 * Generates a reply and gives it as OpenAI's response object, whole or in events. It is stored before its end is told. The first piece
 * is computed before a stream begins, so that whatever goes wrong while the model loads still has a status of its own. Closes the
 * generation.
 */
export async function respondResponse(
  c: Context<AppEnv>,
  generation: ChatGeneration,
  { begun, stream, logprobs, store }: RespondResponseOptions,
): Promise<Response> {
  const { signal } = c.req.raw;
  const { model, endTokens } = generation;
  const itemId = newItemId();
  const scores = (tokens: readonly GeneratedToken[]): ChatLogprobs["content"] =>
    logprobs ? chatLogprobs(model.requireTokenizer(), tokens, endTokens).content : [];
  const end = async (): Promise<void> => {
    await generation.keepRest();
    generation.close();
  };
  const ended = async (
    text: string,
    tokens: readonly GeneratedToken[],
    finish: GenerationResult["finishReason"],
  ): Promise<ResponseObject> => {
    const status = finish === "stop" ? "completed" : "incomplete";
    const part: OutputPart = { type: "output_text", text, annotations: [], logprobs: scores(tokens) };
    const response: ResponseObject = {
      ...begun,
      status,
      completed_at: finish === "stop" ? seconds() : null,
      incomplete_details: finish === "stop" ? null : { reason: "max_output_tokens" },
      output: [{ id: itemId, type: "message", status, role: "assistant", content: [part] }],
      usage: usageOf(generation),
      timings: generation.timings(),
      seed: generation.seed,
    };
    // Nobody knows the id of a response whose client is gone.
    signal.throwIfAborted();
    await store?.(response, generation.kept());
    return response;
  };

  if (!stream) {
    try {
      const { text, tokens, finishReason } = await wholeReply(generation, 0);
      const response = await ended(text, tokens, finishReason);
      c.executionCtx.waitUntil(end());
      return c.json(response);
    } catch (error) {
      generation.close();
      throw error;
    }
  }

  const pieces = generation.choice(0);
  let first: Awaited<ReturnType<typeof pieces.next>>;
  try {
    first = await pieces.next();
  } catch (error) {
    generation.close();
    throw error;
  }
  const events = createResponseEvents(begun, itemId);
  const { response, done } = eventStream(
    c,
    async (send) => {
      for (const event of events.begin()) await send(event);
      let text = "";
      const tokens: GeneratedToken[] = [];
      const note = async (piece: GenerationChunk): Promise<void> => {
        text += piece.text;
        tokens.push(...piece.tokens);
        if (piece.text !== "") await send(events.delta(piece.text, scores(piece.tokens)));
      };
      let next = first;
      for (; !next.done; next = await pieces.next()) await note(next.value);
      await note(next.value.tail);
      await generation.keep(text);
      for (const event of events.end(await ended(text, tokens, next.value.finishReason))) await send(event);
    },
    events,
  );
  c.executionCtx.waitUntil(done.then(end));
  return response;
}

function usageOf(generation: ChatGeneration): NonNullable<ResponseObject["usage"]> {
  const { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details, computed_tokens } = generation.usage();
  return {
    input_tokens: prompt_tokens,
    input_tokens_details: prompt_tokens_details,
    output_tokens: completion_tokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens,
    computed_tokens,
  };
}

function seconds(): number {
  return Math.floor(Date.now() / 1000);
}
