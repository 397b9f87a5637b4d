import type { Key } from "./http/keys.ts";
import type { Variables } from "./limits.ts";
import type { RateLimiter } from "./ops/rate-limiter.ts";
import type { RequestRecord } from "./ops/request-record.ts";
import type { PrefixLedger } from "./prefixes/prefix-ledger.ts";
import type { PrefixStore } from "./prefixes/prefix-store.ts";
import type { ResponseStore } from "./responses/response-store.ts";
import type { SessionIndex } from "./sessions/session-index.ts";
import type { SessionStore } from "./sessions/session-store.ts";

export { type Limits, limitsOf, positive, privateWeights } from "./limits.ts";

/** Bindings and variables of wrangler.toml. */
export interface Env extends Variables {
  /** dist/assets: the built-in packages under /weights. */
  readonly ASSETS: Fetcher;
  readonly SESSIONS: DurableObjectNamespace<SessionStore>;
  readonly SESSION_INDEXES: DurableObjectNamespace<SessionIndex>;
  readonly RESPONSES: DurableObjectNamespace<ResponseStore>;
  readonly PREFIXES: DurableObjectNamespace<PrefixStore>;
  readonly PREFIX_LEDGERS: DurableObjectNamespace<PrefixLedger>;
  readonly RATE_LIMITER: DurableObjectNamespace<RateLimiter>;
  /** more packages: index.json at its root, each package under its id. */
  readonly WEIGHTS?: R2Bucket;
  /** secret: named keys in JSON, or plain ones, comma-separated. Without it only requests to this machine are answered. */
  readonly API_KEYS?: string;
}

/** What Hono's contexts carry here. */
export interface AppEnv {
  Bindings: Env;
  Variables: {
    /** who the request's sessions belong to: a hash of its key. */
    owner: string;
    /** absent where no keys are set. */
    key?: Key;
    /** what the request did, for the metrics and the log. */
    record: RequestRecord;
  };
}
