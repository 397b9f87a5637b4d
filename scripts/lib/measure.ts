/** The middle of several measurements. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Seconds that a piece of work takes. */
export async function seconds(work: () => void | Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/**
 * Median seconds of several pieces of work, measured in turns after one warm-up each, so that what disturbs the machine disturbs all
 * alike.
 */
export async function inTurns<K extends string>(
  work: Readonly<Record<K, () => void | Promise<void>>>,
  rounds: number,
): Promise<Record<K, number>> {
  const names = Object.keys(work) as K[];
  for (const name of names) await work[name]();
  const times = Object.fromEntries(names.map((n) => [n, [] as number[]])) as Record<K, number[]>;
  for (let round = 0; round < rounds; round++) {
    for (const name of names) times[name].push(await seconds(work[name]));
  }
  return Object.fromEntries(names.map((n) => [n, median(times[n])])) as Record<K, number>;
}
