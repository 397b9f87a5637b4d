import { expect } from "vitest";
import type { ChatCompletion } from "../../../worker/edge/schemas/chat.ts";
import type { Completion } from "../../../worker/edge/schemas/completion.ts";
import { letters, send, type Variables } from "./storing.ts";

export interface Message {
  role: string;
  content: string;
}

/** What a reply says, and its tokens. */
interface Reply {
  text: string;
  cached: number;
  computed: number;
  prompt: number;
  completion: number;
}

export const user = (content: string): Message => ({ role: "user", content });

/** A reply of the chat model, of 12 letters unless the body says otherwise. */
export async function chat(
  messages: readonly Message[],
  body: Record<string, unknown> = {},
  variables: Variables = {},
): Promise<Reply> {
  const reply = await post<ChatCompletion>("/v1/chat/completions", { model: "chat", messages, ...body }, variables);
  return { text: reply.choices[0]!.message.content, ...tokensOf(reply) };
}

/** A completion of the tiny model, of 12 letters unless the body says otherwise. */
export async function complete(
  prompt: string | number[],
  body: Record<string, unknown> = {},
  variables: Variables = {},
): Promise<Reply> {
  const reply = await post<Completion>("/v1/completions", { model: "tiny", prompt, ...body }, variables);
  return { text: reply.choices[0]!.text, ...tokensOf(reply) };
}

async function post<T>(path: string, body: object, variables: Variables): Promise<T> {
  const response = await send("POST", path, { max_tokens: 12, seed: 1, logit_bias: letters, ...body }, variables);
  const reply = await response.json<T>();
  expect({ status: response.status, reply }).toMatchObject({ status: 200 });
  return reply;
}

function tokensOf({ usage }: Pick<Completion, "usage">): Omit<Reply, "text"> {
  const { prompt_tokens, prompt_tokens_details, computed_tokens, completion_tokens } = usage!;
  return {
    cached: prompt_tokens_details.cached_tokens,
    computed: computed_tokens,
    prompt: prompt_tokens,
    completion: completion_tokens,
  };
}
