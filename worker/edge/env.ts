import type { SessionStore } from "./sessions/session-store.ts";

/** Bindings and variables of wrangler.toml. Variables may be written there as numbers or as text. */
export interface Env {
  /** dist/assets: the built-in packages under /weights. */
  readonly ASSETS: Fetcher;
  readonly SESSIONS: DurableObjectNamespace<SessionStore>;
  /** more packages: index.json at its root, each package under its id. */
  readonly WEIGHTS?: R2Bucket;
  /** secret, comma-separated. Without it only requests to this machine are answered. */
  readonly API_KEYS?: string;
  /** name or id of the model of requests that name none. Default the first built-in one. */
  readonly DEFAULT_MODEL?: string;
  readonly MEMORY_BUDGET_MB?: string | number;
  readonly MAX_SEQUENCES?: string | number;
  readonly MAX_MULTIPLY_ADDS_PER_REQUEST?: string | number;
  readonly MAX_PROMPT_TOKENS?: string | number;
  readonly SESSION_TTL_DAYS?: string | number;
}

/** What Hono's contexts carry here. */
export interface AppEnv {
  Bindings: Env;
  Variables: {
    /** who the request's sessions belong to: a hash of its key. */
    owner: string;
  };
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
  /** milliseconds that a session outlives its last use. */
  readonly sessionTtl: number;
}

const DAY = 86_400_000;

/** @throws Error when a variable is not a positive number */
export function limitsOf(env: Env): Limits {
  return {
    memoryBudget: positive("MEMORY_BUDGET_MB", env.MEMORY_BUDGET_MB, 104) * 1e6,
    maxSequences: positive("MAX_SEQUENCES", env.MAX_SEQUENCES, 8),
    maxMultiplyAdds: positive("MAX_MULTIPLY_ADDS_PER_REQUEST", env.MAX_MULTIPLY_ADDS_PER_REQUEST, 1e12),
    maxPromptTokens: positive("MAX_PROMPT_TOKENS", env.MAX_PROMPT_TOKENS, 32_768),
    sessionTtl: positive("SESSION_TTL_DAYS", env.SESSION_TTL_DAYS, 30) * DAY,
  };
}

function positive(name: string, value: string | number | undefined, fallback: number): number {
  if (value === undefined || value === "") return fallback;
  const number = Number(value);
  if (!(number > 0 && Number.isFinite(number))) {
    throw new Error(`variable ${name} is ${JSON.stringify(value)}: it must be a number above 0`);
  }
  return number;
}
