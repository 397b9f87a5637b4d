import type { GeneratedToken } from "../../engine/generate.ts";
import type { Sequence } from "../../engine/sequence.ts";
import type { TextTokenizer } from "../../engine/tokenizer.ts";
import { Utf8Stream } from "../../engine/utf8-stream.ts";
import type { Logprobs } from "../schemas/completion.ts";

/** The log-probabilities of the next tokens, in the shape of OpenAI's completions. */
export type LogprobsReport = (tokens: readonly GeneratedToken[]) => Logprobs;

/**
 * Reports tokens as they are generated; offsets go on from piece to piece.
 * @param sequence before it generates
 * @param prompt what is fed first: without any, the text begins with what the sequence held back
 */
export function createLogprobsReport(sequence: Sequence, prompt: readonly number[]): LogprobsReport {
  const tokenizer = sequence.model.requireTokenizer();
  const continues = prompt.length === 0;
  const utf8 = new Utf8Stream(continues ? sequence.utf8 : undefined);
  let offset = continues ? sequence.held.length : 0;

  return function report(tokens) {
    const reply: Logprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
    for (const { id, logprob = 0, top = [] } of tokens) {
      reply.tokens.push(spelling(tokenizer, id));
      reply.token_logprobs.push(logprob);
      reply.top_logprobs.push(Object.fromEntries(top.map(([t, p]) => [spelling(tokenizer, t), p])));
      const added = id === tokenizer.endOfText ? "" : utf8.push(tokenizer.bytes(id));
      // In front of whole characters there may be the U+FFFD of one that was left unfinished.
      const own = textOf(tokenizer, id)?.length ?? added.length;
      reply.text_offset.push(offset + Math.max(0, added.length - own));
      offset += added.length;
    }
    return reply;
  };
}

/** A token's text, or its bytes where they are not whole characters, as OpenAI writes them. */
function spelling(tokenizer: TextTokenizer, token: number): string {
  const hex = (): string => [...tokenizer.bytes(token)].map((b) => `\\x${b.toString(16).padStart(2, "0")}`).join("");
  return textOf(tokenizer, token) ?? `bytes:${hex()}`;
}

function textOf(tokenizer: TextTokenizer, token: number): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(tokenizer.bytes(token));
  } catch {
    return undefined;
  }
}
