/** The value of the largest size among from[start .. start + count), with its sign. */
export function extreme(from: Float32Array, start: number, count: number): number {
  let largest = 0;
  for (let i = start; i < start + count; i++) if (Math.abs(from[i]!) > Math.abs(largest)) largest = from[i]!;
  return largest;
}
