import { DEFAULT_MEMORY_BUDGET, DEFAULT_SEQUENCES } from "../engine/memory.ts";

/** Variables of wrangler.toml. They may be written there as numbers or as text. */
export interface Variables {
  /** name or id of the model of requests that name none. Default the first that takes what they give. */
  readonly DEFAULT_MODEL?: string;
  readonly MEMORY_BUDGET_MB?: string | number;
  readonly MAX_SEQUENCES?: string | number;
  readonly MAX_MULTIPLY_ADDS_PER_REQUEST?: string | number;
  readonly MAX_PROMPT_TOKENS?: string | number;
  readonly SESSION_TTL_DAYS?: string | number;
  /** "off" keeps no states of conversations, and no responses. */
  readonly PREFIX_STORE?: string;
  readonly PREFIX_STORE_MB?: string | number;
  readonly PREFIX_TTL_HOURS?: string | number;
  readonly RESPONSE_TTL_DAYS?: string | number;
  /** most tokens that a request may generate; a key may have fewer. */
  readonly MAX_TOKENS?: string | number;
  /** requests a minute of each key that has no number of its own. */
  readonly RATE_LIMIT_PER_MINUTE?: string | number;
  /** pages that may read replies: comma-separated origins, or * for any, the default. */
  readonly CORS_ORIGINS?: string;
  /** "1": /weights is for who has a key. It takes "/weights/*" in run_worker_first. */
  readonly PRIVATE_WEIGHTS?: string | number;
  /** "info", the default, logs a line a request; "error" only what is unexpected. */
  readonly LOG_LEVEL?: string;
}

/** What one request, and one isolate, may take. */
export interface Limits {
  /** bytes of all models of an isolate. Of its 128 MB the script, tokenizers and requests in flight need the rest. */
  readonly memoryBudget: number;
  /** sequences of one model at a time; further requests wait. */
  readonly maxSequences: number;
  /** multiply-adds of a request: 1e12 are 200 s at 5e9 a second, a low estimate, and cpu_ms allows 300 s. */
  readonly maxMultiplyAdds: number;
  /** tokens given in one request. */
  readonly maxPromptTokens: number;
  /** tokens generated in one request; Infinity where only its budget counts. */
  readonly maxTokens: number;
  /** milliseconds that a session outlives its last use. */
  readonly sessionTtl: number;
  /** whether states of conversations, and responses, are kept. */
  readonly prefixStore: boolean;
  /** bytes of them, an owner. */
  readonly prefixBytes: number;
  /** milliseconds that one outlives its last use. */
  readonly prefixTtl: number;
  /** milliseconds that a conversation's responses outlive the last of them. */
  readonly responseTtl: number;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** @throws Error when a variable is not what it must be */
export function limitsOf(env: Variables): Limits {
  return {
    memoryBudget: positive("MEMORY_BUDGET_MB", env.MEMORY_BUDGET_MB, DEFAULT_MEMORY_BUDGET / 1e6) * 1e6,
    maxSequences: count("MAX_SEQUENCES", env.MAX_SEQUENCES, DEFAULT_SEQUENCES),
    maxMultiplyAdds: positive("MAX_MULTIPLY_ADDS_PER_REQUEST", env.MAX_MULTIPLY_ADDS_PER_REQUEST, 1e12),
    maxPromptTokens: count("MAX_PROMPT_TOKENS", env.MAX_PROMPT_TOKENS, 32_768),
    maxTokens: count("MAX_TOKENS", env.MAX_TOKENS, Number.POSITIVE_INFINITY),
    sessionTtl: positive("SESSION_TTL_DAYS", env.SESSION_TTL_DAYS, 30) * DAY,
    prefixStore: onOrOff("PREFIX_STORE", env.PREFIX_STORE),
    prefixBytes: positive("PREFIX_STORE_MB", env.PREFIX_STORE_MB, 64) * 1e6,
    prefixTtl: positive("PREFIX_TTL_HOURS", env.PREFIX_TTL_HOURS, 24) * HOUR,
    responseTtl: positive("RESPONSE_TTL_DAYS", env.RESPONSE_TTL_DAYS, 30) * DAY,
  };
}

/** @throws Error when the variable is neither 0 nor 1: a mistake in it must not make weights public */
export function privateWeights({ PRIVATE_WEIGHTS = "" }: Variables): boolean {
  // By what it is, not by how it reads: an empty list is no empty text.
  const value: unknown = PRIVATE_WEIGHTS;
  if (value === "1" || value === 1) return true;
  if (value === "" || value === "0" || value === 0) return false;
  throw new Error(`variable PRIVATE_WEIGHTS is ${JSON.stringify(value)}: it must be 0 or 1`);
}

function onOrOff(name: string, value = "on"): boolean {
  if (value !== "on" && value !== "off" && value !== "") {
    throw new Error(`variable ${name} is ${JSON.stringify(value)}: it must be on or off`);
  }
  return value !== "off";
}

/** @throws Error when a variable is not a positive number */
export function positive(name: string, value: string | number | undefined, fallback: number): number {
  if (value === undefined || value === "") return fallback;
  // Number() would make 1 of true, and 5 of [5].
  const number = typeof value === "string" ? Number(value) : value;
  if (!(Number.isFinite(number) && number > 0)) {
    throw new Error(`variable ${name} is ${JSON.stringify(value)}: it must be a number above 0`);
  }
  return number;
}

/** @throws Error when a variable is not a positive integer */
function count(name: string, value: string | number | undefined, fallback: number): number {
  const number = positive(name, value, fallback);
  if (number === fallback || Number.isInteger(number)) return number;
  throw new Error(`variable ${name} is ${JSON.stringify(value)}: it must be a whole number above 0`);
}
