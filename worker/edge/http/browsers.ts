import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import type { AppEnv } from "../env.ts";

const EXPOSED = [
  "etag",
  "retry-after",
  "server-timing",
  "x-request-id",
  "x-ratelimit-limit-requests",
  "x-ratelimit-remaining-requests",
];

/** A year, of this host alone: who deploys decides about others of the domain. Browsers ignore it over http. */
const HTTPS_ONLY = "max-age=31536000";

/**
 * Lets pages of env.CORS_ORIGINS read replies, and asks browsers to take them for nothing but what they are.
 *
 * @example
 * app.use("*", browsers());
 */
export function browsers(): MiddlewareHandler<AppEnv> {
  const shared = cors({
    origin: (origin, c) => {
      const allowed = ((c.env as AppEnv["Bindings"]).CORS_ORIGINS || "*").split(",").map((o) => o.trim());
      if (allowed.includes("*")) return "*";
      return allowed.includes(origin) ? origin : null;
    },
    exposeHeaders: EXPOSED,
    maxAge: 86_400,
  });
  return async function setHeaders(c, next) {
    const answered = await shared(c, next);
    const { headers } = answered ?? c.res;
    headers.set("x-content-type-options", "nosniff");
    headers.set("referrer-policy", "no-referrer");
    if (new URL(c.req.url).protocol === "https:") headers.set("strict-transport-security", HTTPS_ONLY);
    // A page of this Worker says itself what it needs.
    if (!headers.has("content-security-policy")) {
      headers.set("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
    }
    if ((c.env.CORS_ORIGINS || "*") !== "*") headers.append("vary", "origin");
    return answered;
  };
}
