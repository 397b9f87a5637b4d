import type { Model } from "../../engine/model.ts";
import type { TextTokenizer } from "../../engine/tokenizer.ts";
import type { Limits } from "../env.ts";
import { badValue } from "../http/api-error.ts";
import { mostPromptTokens, promptTooLong } from "../models/request-budget.ts";

/** UTF-16 units a token in which a text is looked at first: a text that long is refused before all of it is split. */
const UNITS_A_TOKEN = 16;

/**
 * The tokens of a prompt; none when a sequence goes on by itself.
 * @param param the field that it came in, for messages
 * @throws ApiError 400 when it makes no tokens, too many, or some that the model has not
 */
export function promptTokens(
  model: Model,
  limits: Limits,
  prompt: string | readonly number[] | undefined,
  param: string,
): readonly number[] {
  const { id } = model.manifest;
  const { tokenizer } = model;
  if (tokenizer === undefined) {
    throw badValue("model", `${id} has no tokenizer, so it takes and writes no text: use another model`);
  }
  if (prompt === undefined) return [];
  const most = mostPromptTokens(model, limits);
  if (typeof prompt === "string" && beginsTooLong(tokenizer, prompt, most)) {
    throw promptTooLong(model, limits, param, `more than ${most}`);
  }
  const tokens = typeof prompt === "string" ? tokenizer.encode(prompt) : prompt;
  if (tokens.length > most) throw promptTooLong(model, limits, param, String(tokens.length));
  if (tokens.length === 0) {
    throw badValue(param, `${param} makes no tokens with the tokenizer of ${id}: give more text`);
  }
  const unknown = tokens.findIndex((token) => token >= model.vocab);
  if (unknown < 0) return tokens;
  throw badValue(
    `${param}[${unknown}]`,
    `${param}[${unknown}] is token ${tokens[unknown]}: the vocabulary of ${id} has ${model.vocab} tokens, 0 to ${model.vocab - 1}`,
  );
}

/** Whether the beginning of a very long text has too many tokens already. Splitting megabytes takes seconds. */
export function beginsTooLong(tokenizer: TextTokenizer, text: string, most: number): boolean {
  const units = UNITS_A_TOKEN * most;
  // The last word may be cut, and then have more tokens than it had.
  return text.length > 2 * units && tokenizer.encode(text.slice(0, units).toWellFormed()).length > 2 * most;
}
