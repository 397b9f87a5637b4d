export interface Taken {
  readonly allowed: boolean;
  /** requests left at this moment. */
  readonly remaining: number;
  /** seconds until the next one is allowed; 0 when this one was. */
  readonly retryAfter: number;
}

/**
 * Lets through as many requests a minute as asked for, and as many at once after a minute's rest.
 *
 * @example
 * const bucket = new TokenBucket();
 * bucket.take(60, Date.now()).allowed; // true; the 61st at the same moment is not
 */
export class TokenBucket {
  /** what was taken and has not come back yet. */
  #taken = 0;
  #at = Number.NEGATIVE_INFINITY;

  /** @param now milliseconds; a clock that goes back gives nothing back */
  take(perMinute: number, now: number): Taken {
    const rate = perMinute / 60_000;
    const capacity = Math.max(1, perMinute);
    this.#taken = Math.max(0, this.#taken - Math.max(0, now - this.#at) * rate);
    this.#at = Math.max(this.#at, now);
    const allowed = this.#taken + 1 <= capacity;
    if (allowed) this.#taken += 1;
    const wait = allowed ? 0 : (this.#taken + 1 - capacity) / rate;
    return { allowed, remaining: Math.floor(capacity - this.#taken), retryAfter: Math.ceil(wait / 1000) };
  }
}
