import type { Context } from "hono";
import type { GeneratedToken, GenerationResult } from "../../engine/generate.ts";
import type { AppEnv } from "../env.ts";
import { eventStream } from "../http/event-stream.ts";
import type { ChatChunk, ChatCompletion, ChatLogprobs } from "../schemas/chat.ts";
import { chatLogprobs } from "./chat-logprobs.ts";
import type { ChatGeneration } from "./start-chat.ts";

export interface RespondChatOptions {
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** in every chunk of a stream, with the seed. */
  readonly usageSoFar: boolean;
  readonly logprobs: boolean;
}

/**
 * Generates the choices and replies with them, whole or in chunks. The first piece is computed before a stream begins, so that whatever
 * goes wrong while the model loads still has a status of its own. Closes the generation.
 */
export async function respondChat(
  c: Context<AppEnv>,
  generation: ChatGeneration,
  options: RespondChatOptions,
): Promise<Response> {
  const { model, choices, endTokens, seed } = generation;
  const head = {
    id: `chatcmpl-${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`,
    created: Math.floor(Date.now() / 1000),
    model: model.manifest.id,
  } as const;
  const logprobs = (tokens: readonly GeneratedToken[]): ChatLogprobs | null =>
    options.logprobs ? chatLogprobs(model.requireTokenizer(), tokens, endTokens) : null;
  const end = async (): Promise<void> => {
    await generation.keepRest();
    generation.close();
  };

  if (!options.stream) {
    try {
      const replies: ChatCompletion["choices"] = [];
      for (let index = 0; index < choices; index++) {
        const { text, tokens, finishReason } = await wholeReply(generation, index);
        const message = { role: "assistant", content: text, refusal: null } as const;
        replies.push({ index, message, logprobs: logprobs(tokens), finish_reason: finishReason });
      }
      const reply: ChatCompletion = {
        ...head,
        object: "chat.completion",
        choices: replies,
        usage: generation.usage(),
        timings: generation.timings(),
        seed,
      };
      c.executionCtx.waitUntil(end());
      return c.json(reply);
    } catch (error) {
      generation.close();
      throw error;
    }
  }

  const chunk = (
    index: number,
    delta: ChatChunk["choices"][number]["delta"],
    tokens: readonly GeneratedToken[],
    finish: GenerationResult["finishReason"] | null = null,
  ): ChatChunk => ({
    ...head,
    object: "chat.completion.chunk",
    choices: [{ index, delta, logprobs: logprobs(tokens), finish_reason: finish }],
    ...(options.includeUsage && { usage: null }),
  });
  const soFar = (): Pick<ChatChunk, "usage" | "seed"> =>
    options.usageSoFar ? { usage: generation.usage(), seed } : {};
  let pieces = generation.choice(0);
  let first: Awaited<ReturnType<typeof pieces.next>>;
  try {
    first = await pieces.next();
  } catch (error) {
    generation.close();
    throw error;
  }
  const { response, done } = eventStream(c, async (send) => {
    for (let index = 0; index < choices; index++) {
      if (index > 0) pieces = generation.choice(index);
      let text = "";
      await send(chunk(index, { role: "assistant", content: "" }, []));
      let next = index === 0 ? first : await pieces.next();
      for (; !next.done; next = await pieces.next()) {
        text += next.value.text;
        await send({ ...chunk(index, { content: next.value.text }, next.value.tokens), ...soFar() });
      }
      const { tail, finishReason } = next.value;
      if (tail.text !== "") await send({ ...chunk(index, { content: tail.text }, tail.tokens), ...soFar() });
      // What the reply's end says must be true when it is read: the state is kept before.
      await generation.keep(text + tail.text);
      const last = { ...chunk(index, {}, tail.text === "" ? tail.tokens : [], finishReason), ...soFar() };
      await send(index < choices - 1 ? last : { ...last, timings: generation.timings(), seed });
    }
    if (options.includeUsage) {
      await send({
        ...head,
        object: "chat.completion.chunk",
        choices: [],
        usage: generation.usage(),
      } satisfies ChatChunk);
    }
  });
  c.executionCtx.waitUntil(done.then(end));
  return response;
}

/** Generates a choice to its end, and keeps its state. */
export async function wholeReply(
  generation: ChatGeneration,
  index: number,
): Promise<{ text: string; tokens: GeneratedToken[]; finishReason: GenerationResult["finishReason"] }> {
  const pieces = generation.choice(index);
  let text = "";
  const tokens: GeneratedToken[] = [];
  let next = await pieces.next();
  for (; !next.done; next = await pieces.next()) {
    text += next.value.text;
    tokens.push(...next.value.tokens);
  }
  const { tail, finishReason } = next.value;
  text += tail.text;
  await generation.keep(text);
  return { text, tokens: [...tokens, ...tail.tokens], finishReason };
}
