import { describe, expect, test } from "vitest";
import { type Bounds, numbersWithin } from "../../../worker/engine/constraint/number-range.ts";
import { matcher, randomText } from "./spellings.ts";

function within(value: number, { minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Bounds): boolean {
  if (minimum !== undefined && value < minimum) return false;
  if (maximum !== undefined && value > maximum) return false;
  if (exclusiveMinimum !== undefined && value <= exclusiveMinimum) return false;
  return exclusiveMaximum === undefined || value < exclusiveMaximum;
}

describe("integers", () => {
  test.each<Bounds>([
    { minimum: 0, maximum: 9 },
    { minimum: -3, maximum: 12 },
    { minimum: 17, maximum: 1203 },
    { exclusiveMinimum: 99, exclusiveMaximum: 1000 },
    { exclusiveMinimum: -1000, maximum: -99 },
    { minimum: 0.5, maximum: 99.99 },
    { minimum: -0.5 },
    { maximum: 1099 },
    { exclusiveMinimum: 0 },
    { minimum: 5, exclusiveMinimum: 7, maximum: 30, exclusiveMaximum: 20 },
  ])("%j: those and no others from -1500 to 1500", (bounds) => {
    const allowed = matcher(numbersWithin(bounds, true)!);
    for (let n = -1500; n <= 1500; n++) expect(allowed(String(n)), String(n)).toBe(within(n, bounds));
    for (const text of ["01", "-0", "+1", "1.0", "1e2", "", "-"]) expect(allowed(text), text).toBe(false);
  });
});

describe("decimals", () => {
  test.each<Bounds>([
    { minimum: 0, maximum: 1 },
    { minimum: -1.25, maximum: 1.5 },
    { exclusiveMinimum: 0, exclusiveMaximum: 1 },
    { exclusiveMinimum: 0.1, maximum: 0.13 },
    { minimum: -0.01 },
    { maximum: -2.995 },
    { exclusiveMaximum: 10.05, minimum: 9.9 },
  ])("%j: those and no others with up to three places from -12 to 12", (bounds) => {
    const allowed = matcher(numbersWithin(bounds, false)!);
    for (let n = -12_000; n <= 12_000; n += 1) {
      const text = (n / 1000).toFixed(3);
      if (n !== 0) expect(allowed(text), text).toBe(within(Number(text), bounds));
      if (n % 100 === 0 && n !== 0) {
        const short = (n / 1000).toFixed(1);
        expect(allowed(short), short).toBe(within(Number(short), bounds));
      }
    }
    for (const text of [".5", "1.", "-0.0", "00.5", "1e0"]) expect(allowed(text), text).toBe(false);
  });

  test.each<Bounds>([
    { minimum: 1e-7, maximum: 2e-7 },
    { minimum: 1e12 },
    { exclusiveMaximum: -123456.789 },
    { minimum: 0.1, maximum: 0.3 },
    { exclusiveMinimum: 999_999_999_999, maximum: 999_999_999_999.5 },
  ])("%j: whatever is written is within, and means what it spells", (bounds) => {
    const grammar = numbersWithin(bounds, false)!;
    for (let seed = 0; seed < 200; seed++) {
      const text = randomText(grammar, seed);
      expect(within(JSON.parse(text), bounds), text).toBe(true);
      expect(text.replace(/\D/g, "").replace(/^0+/, "").length).toBeLessThanOrEqual(15);
    }
  });

  test("bounds with more digits than a double tells apart are not promised", () => {
    expect(numbersWithin({ minimum: 0.1234567890123456 }, false)).toBe(undefined);
    expect(numbersWithin({ maximum: 2 ** 53 }, true)).toBe(undefined);
    expect(numbersWithin({ minimum: 1e300 }, false)).toBe(undefined);
  });
});
