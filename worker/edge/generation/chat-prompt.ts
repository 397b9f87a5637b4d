import { type ChatFormat, type ChatMessage, type Conversation, chatFormat } from "../../engine/chat.ts";
import { ParameterError } from "../../engine/errors.ts";
import type { Model } from "../../engine/model.ts";
import type { Limits } from "../env.ts";
import { badValue } from "../http/api-error.ts";
import { mostPromptTokens, promptTooLong } from "../models/request-budget.ts";
import type { ChatRequest } from "../schemas/chat.ts";
import { beginsTooLong } from "./prompt-tokens.ts";

export interface ChatPrompt {
  readonly format: ChatFormat;
  readonly messages: readonly ChatMessage[];
  readonly tokens: readonly number[];
  /** see Conversation. */
  readonly boundaries: readonly number[];
}

/**
 * The conversation as tokens, up to where the reply begins.
 * @param param the field that it came in
 * @throws ApiError 400 when it is too long or the model cannot chat; ParameterError when the template refuses the messages
 */
export function chatPrompt(model: Model, limits: Limits, sent: ChatRequest["messages"], param: string): ChatPrompt {
  const { tokenizer } = model;
  if (tokenizer === undefined) {
    throw badValue("model", `${model.manifest.id} has no tokenizer, so it takes and writes no text: use another model`);
  }
  const messages = sent.map(({ role, content }) => ({
    role: role === "developer" ? "system" : role,
    content: typeof content === "string" ? content : (content ?? []).map((part) => part.text).join(""),
  }));
  const most = mostPromptTokens(model, limits);
  if (beginsTooLong(tokenizer, messages.map((m) => m.content).join(""), most)) {
    throw promptTooLong(model, limits, param, `more than ${most}`);
  }
  const format = chatFormat(model);
  const { tokens, boundaries } = rendered();
  if (tokens.length > most) throw promptTooLong(model, limits, param, String(tokens.length));
  return { format, messages, tokens, boundaries };

  function rendered(): Conversation {
    try {
      return format.conversation(messages, true);
    } catch (error) {
      throw error instanceof ParameterError ? new ParameterError(error.message, param) : error;
    }
  }
}
