import type { MiddlewareHandler } from "hono";
import { type AppEnv, positive } from "../env.ts";
import { ApiError } from "../http/api-error.ts";

/** The bucket where no keys are set. */
const NOBODY = "local";

/**
 * Lets each key have its number of requests a minute; where neither the key nor env.RATE_LIMIT_PER_MINUTE says one, any number.
 * Registered after the keys.
 *
 * @example
 * app.use("/v1/*", rateLimit());
 */
export function rateLimit(): MiddlewareHandler<AppEnv> {
  return async function limitRate(c, next) {
    const key = c.get("key");
    const unlimited = Number.POSITIVE_INFINITY;
    const perMinute =
      key?.requestsPerMinute ?? positive("RATE_LIMIT_PER_MINUTE", c.env.RATE_LIMIT_PER_MINUTE, unlimited);
    if (perMinute === unlimited) return next();
    const { allowed, remaining, retryAfter } = await c.env.RATE_LIMITER.getByName(key?.name ?? NOBODY).take(perMinute);
    // OpenAI's names.
    const headers = { "x-ratelimit-limit-requests": `${perMinute}`, "x-ratelimit-remaining-requests": `${remaining}` };
    if (!allowed) {
      throw new ApiError({
        code: "rate_limit_exceeded",
        message: `${key === undefined ? "this deployment" : `key ${key.name}`} may send ${perMinute} requests a minute and sent more: send this one again in ${retryAfter} s`,
        headers: { ...headers, "retry-after": `${retryAfter}` },
      });
    }
    await next();
    for (const [name, value] of Object.entries(headers)) c.res.headers.set(name, value);
  };
}
