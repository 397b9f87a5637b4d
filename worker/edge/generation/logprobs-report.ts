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
      reply.text_offset.push(offset);
      if (id !== tokenizer.endOfText) offset += utf8.push(tokenizer.bytes(id)).length;
    }
    return reply;
  };
}

/** A token's text, or its bytes where they are not whole characters, as OpenAI writes them. */
function spelling(tokenizer: TextTokenizer, token: number): string {
  const bytes = tokenizer.bytes(token);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `bytes:${[...bytes].map((b) => `\\x${b.toString(16).padStart(2, "0")}`).join("")}`;
  }
}
