import type { ImageSize } from "../../../kernels/image-blocks.ts";
import { imageCost } from "../../engine/images.ts";
import type { Model } from "../../engine/model.ts";
import type { Limits } from "../env.ts";
import { type ApiError, badValue } from "../http/api-error.ts";

/** Tokens generated where a request does not say. */
export const DEFAULT_MAX_TOKENS = 128;

type Cost = Pick<Model, "manifest" | "multiplyAddsPerToken" | "multiplyAddsPerHead">;
type RequestLimits = Pick<Limits, "maxMultiplyAdds" | "maxPromptTokens" | "maxTokens">;

/*
 * What a request costs is known before it begins, from the model's multiply-adds: a Worker's clock stands still while it computes, so
 * nothing could be measured.
 */

/** Tokens that a request may give. */
export function mostPromptTokens(model: Cost, limits: RequestLimits): number {
  return Math.min(limits.maxPromptTokens, Math.floor(limits.maxMultiplyAdds / model.multiplyAddsPerToken));
}

/** @param param the field that the images came in @throws ApiError 400 with the limit and what was seen */
export function checkImageBudget(
  { manifest, blocks }: Pick<Model, "manifest" | "blocks">,
  { maxMultiplyAdds }: Pick<Limits, "maxMultiplyAdds">,
  images: number,
  size: ImageSize,
  param: string,
): void {
  const each = imageCost(blocks, size);
  if (images * each <= maxMultiplyAdds) return;
  const most = Math.floor(maxMultiplyAdds / each);
  const remedy = most > 0 ? `send ${most} at a time` : "no image of this size can be served: send smaller ones";
  throw badValue(
    param,
    `${images} images of ${size.height}×${size.width} cost ${images * each} multiply-adds on ${manifest.id}, a request may cost ${maxMultiplyAdds}: ${remedy}`,
  );
}

/** @param seen how many tokens there are, in words */
export function promptTooLong(model: Cost, limits: RequestLimits, param: string, seen: string): ApiError {
  const most = mostPromptTokens(model, limits);
  const bound = most === limits.maxPromptTokens ? "MAX_PROMPT_TOKENS" : "MAX_MULTIPLY_ADDS_PER_REQUEST";
  return badValue(
    param,
    `${param} has ${seen} tokens, a request to ${model.manifest.id} may have ${most} (${bound}): send less, or append it to a session piece by piece`,
    "context_length_exceeded",
  );
}

/** What of a request decides how much it may generate. */
export interface Asked {
  /** tokens in front of the first generated one, as `usage` counts them: `<|endoftext|>` and stored ones included. */
  readonly promptTokens: number;
  /** the field that the prompt came in. */
  readonly promptParam: string;
  /** tokens that cost what is to be computed of the prompt. Default promptTokens. */
  readonly cost?: number;
  /** undefined where the request does not say. */
  readonly maxTokens: number | undefined;
  /** the field that maxTokens came in. Default max_tokens. */
  readonly param?: string | undefined;
  /** Default 1. */
  readonly choices?: number;
}

/**
 * How many tokens a request may generate after its prompt, for each of its choices: 0 where the prompt takes all.
 * @throws ApiError 400 with the limit and the number seen, also where the prompt alone costs too much
 */
export function maxTokensWithin(
  model: Cost,
  limits: RequestLimits,
  { promptTokens, promptParam, cost = promptTokens, maxTokens, param = "max_tokens", choices = 1 }: Asked,
): number {
  const perToken = model.multiplyAddsPerToken + model.multiplyAddsPerHead;
  const over = limits.maxMultiplyAdds - cost * model.multiplyAddsPerToken;
  if (over < 0) {
    throw badValue(
      promptParam,
      `${promptParam} costs ${cost * model.multiplyAddsPerToken} multiply-adds on ${model.manifest.id}, a request may cost ${limits.maxMultiplyAdds} (MAX_MULTIPLY_ADDS_PER_REQUEST): send less, or append it to a session piece by piece`,
      "context_length_exceeded",
    );
  }
  const left = Math.floor(over / (choices * perToken));
  const allowed = Math.floor(limits.maxTokens / choices);
  const each = choices > 1 ? ` for each of ${choices} choices` : "";
  if (maxTokens !== undefined && maxTokens > allowed) {
    throw badValue(
      param,
      `${param} is ${maxTokens}, with this key a request may generate ${allowed}${each}: ask for less, and go on in a session`,
    );
  }
  if (maxTokens !== undefined && maxTokens > left) {
    throw badValue(
      param,
      `${param} is ${maxTokens}, a request to ${model.manifest.id} with ${promptTokens} prompt token${promptTokens === 1 ? "" : "s"} may generate ${left}${each}: all its tokens may cost ${limits.maxMultiplyAdds} multiply-adds (MAX_MULTIPLY_ADDS_PER_REQUEST); ask for less, and go on in a session`,
      "context_length_exceeded",
    );
  }
  return maxTokens ?? Math.min(DEFAULT_MAX_TOKENS, left, allowed);
}
