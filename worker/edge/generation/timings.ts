import type { Timings } from "../schemas/completion.ts";

/**
 * Seconds since a request began, to the millisecond. In production the clock stands still between I/O.
 * @param begun all as performance.now() gave them, ms
 * @param firstToken undefined while none is there: until now
 */
export function timingsOf(begun: number, ready: number, firstToken: number | undefined): Timings {
  const now = performance.now();
  const seconds = (at: number): number => Math.round(at - begun) / 1000;
  return {
    wall_seconds_across_io: { model: seconds(ready), first_token: seconds(firstToken ?? now), total: seconds(now) },
  };
}
