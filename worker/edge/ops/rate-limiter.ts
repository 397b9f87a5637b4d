import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { type Taken, TokenBucket } from "./token-bucket.ts";

/**
 * The bucket of one key, the same for all isolates and places. Named by the key. The platform's own rate limiter counts by location and
 * has one limit for all.
 *
 * It stores nothing: an object that the platform drops was idle, and its bucket has filled up meanwhile, or nearly.
 *
 * @example
 * await env.RATE_LIMITER.getByName("page").take(20);
 */
export class RateLimiter extends DurableObject<Env> {
  readonly #bucket = new TokenBucket();

  take(perMinute: number): Taken {
    return this.#bucket.take(perMinute, Date.now());
  }
}
