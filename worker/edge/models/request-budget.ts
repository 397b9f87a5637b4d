import type { Model } from "../../engine/model.ts";
import type { Limits } from "../env.ts";
import { badValue } from "../http/api-error.ts";

/** Tokens generated where a request does not say. */
export const DEFAULT_MAX_TOKENS = 128;

export interface TokenCounts {
  /** tokens given, without those of a stored state. */
  readonly prompt: number;
  /** field that gave them. */
  readonly param: string;
  readonly maxTokens: number | undefined;
}

/**
 * How many tokens a request may generate. What a request costs is known before it begins, from the model's multiply-adds, because a
 * Worker's clock stands still while it computes.
 * @throws ApiError 400 with the limit and the number seen
 */
export function maxTokensWithin(
  model: Pick<Model, "manifest" | "multiplyAddsPerToken" | "multiplyAddsPerHead">,
  limits: Pick<Limits, "maxMultiplyAdds" | "maxPromptTokens">,
  { prompt, param, maxTokens }: TokenCounts,
): number {
  const { id } = model.manifest;
  const perToken = model.multiplyAddsPerToken;
  const most = Math.min(limits.maxPromptTokens, Math.floor(limits.maxMultiplyAdds / perToken));
  if (prompt > most) {
    throw badValue(
      param,
      `${param} has ${prompt} tokens, a request to ${id} may have ${most}: send less, or append it to a session piece by piece`,
      "context_length_exceeded",
    );
  }
  const left = Math.floor((limits.maxMultiplyAdds - prompt * perToken) / (perToken + model.multiplyAddsPerHead));
  if (maxTokens !== undefined && maxTokens > left) {
    throw badValue(
      "max_tokens",
      `max_tokens is ${maxTokens}, a request to ${id} with ${prompt} prompt tokens may generate ${left}: ask for less, and go on in a session`,
      "context_length_exceeded",
    );
  }
  return maxTokens ?? Math.min(DEFAULT_MAX_TOKENS, left);
}
