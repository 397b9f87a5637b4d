const BEAT_MS = 1_000;

/** Shows the other requests that the one that began it still runs. */
export interface Pulse {
  /** milliseconds since the last beat. */
  readonly silence: number;
  stop(): void;
}

/**
 * A timer belongs to its request and ends with it, also where the runtime drops a request without running any `finally`: over its CPU
 * limit, or 30 s after its client went away. Timers count as I/O, so the clock is right whenever one fires.
 */
export function startPulse(): Pulse {
  let last = Date.now();
  const timer = setInterval(() => {
    last = Date.now();
  }, BEAT_MS);
  return {
    get silence() {
      return Date.now() - last;
    },
    stop: () => clearInterval(timer),
  };
}
