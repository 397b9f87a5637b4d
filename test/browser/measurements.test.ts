import { expect, test } from "vitest";
import { seconds } from "../../worker/browser/page/measurements.ts";

test.each([
  [0, "0 s"],
  [34.4, "0.034 s"],
  [118, "0.12 s"],
  [1260, "1.3 s"],
  [12_345, "12 s"],
  [123_456, "123 s"],
])("%d ms are %s: two digits, so that nothing takes no time", (ms, said) => {
  expect(seconds(ms)).toBe(said);
});
