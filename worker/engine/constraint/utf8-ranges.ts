import { bytes, choice, type Node, sequence } from "./grammar.ts";

/** Code points from the first to the last, both included. */
export type CodeRange = readonly [first: number, last: number];

/** Last code point of each length in UTF-8. */
const LENGTH_ENDS = [0x7f, 0x7ff, 0xffff, 0x10ffff];

/** One character out of ranges, in UTF-8. Halves of surrogate pairs are no characters and are left out. */
export function characters(ranges: readonly CodeRange[]): Node {
  const single = ranges.flatMap(([first, last]): CodeRange[] => (first <= 0x7f ? [[first, Math.min(last, 0x7f)]] : []));
  const wide = ranges.flatMap(([first, last]) => withoutSurrogates(Math.max(first, 0x80), last)).flatMap(byLength);
  const options = wide.flatMap(([first, last]) => sequences(encode(first), encode(last)));
  return choice(...(single.length > 0 ? [bytes(...single)] : []), ...options);
}

function withoutSurrogates(first: number, last: number): CodeRange[] {
  const parts: CodeRange[] = [
    [first, Math.min(last, 0xd7ff)],
    [Math.max(first, 0xe000), last],
  ];
  return parts.filter(([a, b]) => a <= b);
}

function byLength([first, last]: CodeRange): CodeRange[] {
  return LENGTH_ENDS.map(
    (end, i): CodeRange => [Math.max(first, i === 0 ? 0 : LENGTH_ENDS[i - 1]! + 1), Math.min(last, end)],
  ).filter(([a, b]) => a <= b);
}

const encode = (code: number): number[] => [...new TextEncoder().encode(String.fromCodePoint(code))];

/** Byte strings of one length from `low` to `high` in order, as sequences of byte ranges (as in RE2's UTF-8 compilation). */
function sequences(low: readonly number[], high: readonly number[]): Node[] {
  const [a, ...restLow] = low as [number, ...number[]];
  const [b, ...restHigh] = high as [number, ...number[]];
  if (restLow.length === 0) return [bytes([a, b])];
  const [least, most] = [restLow.map(() => 0x80), restHigh.map(() => 0xbf)];
  const under = (byte: number, tails: readonly Node[]): Node[] =>
    tails.map((tail) => sequence(bytes([byte, byte]), tail));
  if (a === b) return under(a, sequences(restLow, restHigh));
  const begins = restLow.every((byte) => byte === 0x80);
  const ends = restHigh.every((byte) => byte === 0xbf);
  const [from, to] = [begins ? a : a + 1, ends ? b : b - 1];
  return [
    ...(begins ? [] : under(a, sequences(restLow, most))),
    ...(from <= to ? sequences(least, most).map((tail) => sequence(bytes([from, to]), tail)) : []),
    ...(ends ? [] : under(b, sequences(least, restHigh))),
  ];
}

/** All code points that are in none of the ranges. */
export function complement(ranges: readonly CodeRange[]): CodeRange[] {
  const sorted = ranges.toSorted((a, b) => a[0] - b[0]);
  const gaps: CodeRange[] = [];
  let next = 0;
  for (const [first, last] of sorted) {
    if (first > next) gaps.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= 0x10ffff) gaps.push([next, 0x10ffff]);
  return gaps;
}

/** What is in both. */
export function intersection(some: readonly CodeRange[], others: readonly CodeRange[]): CodeRange[] {
  return some.flatMap(([a, b]) =>
    others.map(([c, d]): CodeRange => [Math.max(a, c), Math.min(b, d)]).filter(([first, last]) => first <= last),
  );
}
