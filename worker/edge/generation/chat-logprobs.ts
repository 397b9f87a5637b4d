import type { GeneratedToken } from "../../engine/generate.ts";
import type { TextTokenizer } from "../../engine/tokenizer.ts";
import type { ChatLogprobs } from "../schemas/chat.ts";

/**
 * Log-probabilities in the shape of OpenAI's chat completions. A token's text may be part of a character; its bytes are exact.
 * @param endTokens those that end a reply besides control tokens; neither are part of it
 */
export function chatLogprobs(
  tokenizer: TextTokenizer,
  tokens: readonly GeneratedToken[],
  endTokens: ReadonlySet<number>,
): ChatLogprobs {
  const score = (token: number, logprob: number) => ({
    token: tokenizer.decode([token], { continuing: true }),
    logprob,
    bytes: [...tokenizer.bytes(token)],
  });
  const content = tokens
    .filter(({ id }) => !tokenizer.isSpecial(id) && !endTokens.has(id))
    .map(({ id, logprob = 0, top = [] }) => ({
      ...score(id, logprob),
      top_logprobs: top.map(([token, p]) => score(token, p)),
    }));
  return { content, refusal: null };
}
