import type { GeneratedToken } from "../../engine/generate.ts";
import type { TextTokenizer } from "../../engine/tokenizer.ts";
import { Utf8Stream } from "../../engine/utf8-stream.ts";
import type { Logprobs } from "../schemas/completion.ts";

/** The log-probabilities of the next tokens, in the shape of OpenAI's completions. */
export type LogprobsReport = (tokens: readonly GeneratedToken[]) => Logprobs;

export interface ReportStart {
  /** bytes of an unfinished character before the first token. */
  readonly utf8?: Uint8Array | undefined;
  /** where the first token begins. */
  readonly offset?: number | undefined;
}

/**
 * Reports tokens as they are generated; offsets go on from piece to piece. A token without a log-probability, such as a prompt's first
 * one, has null.
 */
export function createLogprobsReport(tokenizer: TextTokenizer, start: ReportStart = {}): LogprobsReport {
  const utf8 = new Utf8Stream(start.utf8);
  let offset = start.offset ?? 0;

  return function report(tokens) {
    const reply: Logprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
    for (const { id, logprob, top = [] } of tokens) {
      reply.tokens.push(spelling(tokenizer, id));
      reply.token_logprobs.push(logprob ?? null);
      // The token itself is among them, also when others are more probable.
      const scores = logprob === undefined ? undefined : [...top, [id, logprob] as const];
      reply.top_logprobs.push(scores ? Object.fromEntries(scores.map(([t, p]) => [spelling(tokenizer, t), p])) : null);
      const added = id === tokenizer.endOfText ? "" : utf8.push(tokenizer.bytes(id));
      // In front of whole characters there may be the U+FFFD of one that was left unfinished.
      const own = textOf(tokenizer, id)?.length ?? added.length;
      reply.text_offset.push(Math.max(0, offset + Math.max(0, added.length - own)));
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
