/** The Cloudflare Worker: its HTTP surface, and the Durable Objects that hold sessions. */
import { createApp } from "./app.ts";
import type { Env } from "./env.ts";
import { isolate } from "./isolate.ts";

const app = createApp(isolate);

export default { fetch: app.fetch } satisfies ExportedHandler<Env>;
export { RateLimiter } from "./ops/rate-limiter.ts";
export { PrefixLedger } from "./prefixes/prefix-ledger.ts";
export { PrefixStore } from "./prefixes/prefix-store.ts";
export { ResponseStore } from "./responses/response-store.ts";
export { SessionIndex } from "./sessions/session-index.ts";
export { SessionStore } from "./sessions/session-store.ts";
