import { bytes, choice, EMPTY, literal, type Node, repeat, sequence } from "./grammar.ts";

/** Digits that a double holds whatever they are. */
const MOST_DIGITS = 15;
/** Digits behind the point where a bound has fewer. */
const FRACTION = 6;

export interface Bounds {
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
  readonly exclusiveMinimum?: number | undefined;
  readonly exclusiveMaximum?: number | undefined;
}

/**
 * Numbers within bounds, written without an exponent, with at most 15 digits, of which at most 6 stand behind the point where no bound
 * has more.
 * @returns undefined when a bound has too many digits for that
 */
export function numbersWithin(bounds: Bounds, integers: boolean): Node | undefined {
  const given = [bounds.minimum, bounds.maximum, bounds.exclusiveMinimum, bounds.exclusiveMaximum].filter(
    (bound) => bound !== undefined,
  );
  const decimals = given.map(decimal);
  const wholeDigits = Math.max(1, ...decimals.map(({ whole }) => whole.length));
  const scale = Math.max(0, ...decimals.map(({ fraction }) => fraction.length));
  if (wholeDigits + scale > MOST_DIGITS) return undefined;
  const fraction = integers ? 0 : Math.max(scale, Math.min(FRACTION, MOST_DIGITS - wholeDigits));
  const options: Node[] = [];
  for (let digits = 0; digits <= fraction; digits++) {
    const most = 10n ** BigInt(MOST_DIGITS - (fraction - digits)) - 1n;
    const [low, high] = unitsWithin(bounds, digits, most);
    if (low < 0n && low <= high) {
      options.push(sequence(literal("-"), between(high < 0n ? -high : 1n, -low, digits)));
    }
    if (high >= 0n && low <= high) options.push(between(low > 0n ? low : 0n, high, digits));
  }
  return choice(...options);
}

/** The integers u for which u / 10^digits is within the bounds. */
function unitsWithin(bounds: Bounds, digits: number, most: bigint): [low: bigint, high: bigint] {
  let [low, high] = [-most, most];
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = bounds;
  const raise = (to: bigint): void => {
    if (to > low) low = to;
  };
  const lower = (to: bigint): void => {
    if (to < high) high = to;
  };
  if (minimum !== undefined) raise(-floorUnits(-minimum, digits));
  if (maximum !== undefined) lower(floorUnits(maximum, digits));
  if (exclusiveMinimum !== undefined) raise(floorUnits(exclusiveMinimum, digits) + 1n);
  if (exclusiveMaximum !== undefined) lower(-floorUnits(-exclusiveMaximum, digits) - 1n);
  return [low, high];
}

/** ⌊value · 10^digits⌋, exactly. */
function floorUnits(value: number, digits: number): bigint {
  const { negative, whole, fraction } = decimal(value);
  const cut = BigInt(whole + fraction.slice(0, digits).padEnd(digits, "0"));
  const rest = /[1-9]/.test(fraction.slice(digits));
  return negative ? -cut - (rest ? 1n : 0n) : cut;
}

/** A double's shortest spelling, without an exponent. */
function decimal(value: number): { negative: boolean; whole: string; fraction: string } {
  const [mantissa, exponent = "0"] = Math.abs(value).toString().split("e") as [string, string?];
  const [whole, fraction = ""] = mantissa.split(".") as [string, string?];
  const shift = Number(exponent);
  const digits = whole + fraction;
  const point = whole.length + shift;
  const left = point <= 0 ? "0" : digits.slice(0, point).padEnd(point, "0");
  const right = point <= 0 ? "0".repeat(-point) + digits : digits.slice(point);
  return { negative: value < 0, whole: left.replace(/^0+(?=.)/, ""), fraction: right.replace(/0+$/, "") };
}

/** The numbers u / 10^fraction for u from low to high, 0 ≤ low ≤ high, with all their digits behind the point and no 0 in front. */
function between(low: bigint, high: bigint, fraction: number): Node {
  const options: Node[] = [];
  const longest = Math.max(high.toString().length, fraction + 1);
  for (let length = Math.max(low.toString().length, fraction + 1); length <= longest; length++) {
    const least = length === fraction + 1 ? 0n : 10n ** BigInt(length - 1);
    const most = 10n ** BigInt(length) - 1n;
    const [a, b] = [low > least ? low : least, high < most ? high : most];
    options.push(ofLength(a.toString().padStart(length, "0"), b.toString().padStart(length, "0"), fraction));
  }
  return choice(...options);
}

/** Digits from low to high, which are equally many, with a point before the last `fraction` ones. */
function ofLength(low: string, high: string, fraction: number): Node {
  if (low === "") return EMPTY;
  const point = fraction > 0 && low.length === fraction ? [literal(".")] : [];
  const [a, b] = [Number(low[0]), Number(high[0])];
  const [restLow, restHigh] = [low.slice(1), high.slice(1)];
  const free = (from: number, to: number): Node =>
    sequence(...point, digits(from, to), ...anyDigits(restLow.length, fraction));
  if (/^0*$/.test(restLow) && /^9*$/.test(restHigh)) return free(a, b);
  if (a === b) return sequence(...point, digits(a, a), ofLength(restLow, restHigh, fraction));
  const nines = "9".repeat(restLow.length);
  const zeros = "0".repeat(restLow.length);
  return choice(
    sequence(...point, digits(a, a), ofLength(restLow, nines, fraction)),
    ...(a + 1 < b ? [free(a + 1, b - 1)] : []),
    sequence(...point, digits(b, b), ofLength(zeros, restHigh, fraction)),
  );
}

const digits = (from: number, to: number): Node => bytes([0x30 + from, 0x30 + to]);

function anyDigits(count: number, fraction: number): Node[] {
  if (fraction === 0 || count < fraction) return [repeat(digits(0, 9), count, count)];
  return [
    repeat(digits(0, 9), count - fraction, count - fraction),
    literal("."),
    repeat(digits(0, 9), fraction, fraction),
  ];
}
