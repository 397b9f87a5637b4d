import { describe, expect, test } from "vitest";
import { quoted } from "../../../worker/engine/constraint/json-grammar.ts";
import { FORMATS, patternContent } from "../../../worker/engine/constraint/string-pattern.ts";
import { ParameterError } from "../../../worker/engine/errors.ts";
import { FORMAT_CHECKS } from "./formats.ts";
import { matcher, randomText } from "./spellings.ts";

const patterns = [
  "^a$",
  "a",
  "^a|b$",
  "^(a|b)c*$",
  "^(?:ab){2,3}$",
  "^(?<year>\\d{4})-\\d\\d$",
  "^[a-fx-]+$",
  "^[^a-z]$",
  "^.$",
  "^\\w+\\s\\W$",
  "^a{0}b??$",
  '^["\\\\]+$',
  "^\\u00e9\\x41\\u{1F98A}$",
  "^[\\d.]+$",
  "^\\.\\*\\/$",
  "^[\\b\\t]$",
  "^\\S\\D$",
  "^$",
  "",
  "^日本|語$",
];
const texts = [
  "",
  "a",
  "b",
  "ac",
  "bcc",
  "abab",
  "ababab",
  "abababab",
  "2026-11",
  "x-f",
  "A",
  "é",
  "\n",
  "\u2028",
  "a b",
  "word !",
  '"',
  '"\\"',
  "\\",
  "éA🦊",
  "1.5",
  ".*/",
  "\b",
  "\t",
  "🦊",
  "xa-",
  "日本",
  "日本 is not 語",
  "a1",
];

describe("a pattern", () => {
  test.each(patterns)("%s allows of some texts those that RegExp does", (pattern) => {
    const allowed = matcher(quoted(patternContent(pattern, "p")));
    for (const text of texts) {
      expect(allowed(JSON.stringify(text)), JSON.stringify(text)).toBe(new RegExp(pattern, "u").test(text));
    }
  });

  test.each(patterns)("%s: whatever is written is JSON, and matches", (pattern) => {
    const grammar = quoted(patternContent(pattern, "p"));
    for (let seed = 0; seed < 20; seed++) {
      const text = randomText(grammar, seed);
      expect(JSON.parse(text), text).toMatch(new RegExp(pattern, "u"));
    }
  });

  test.each([
    ["(?=a)", "(?="],
    ["(?<!a)b", "(?<"],
    ["(a)\\1", "\\1"],
    ["a\\b", "\\b"],
    ["\\p{L}", "\\p"],
    ["a^b", "^ inside"],
    ["(^a)", "^ inside"],
    ["a$b", "$ inside"],
    ["a{1001}", "more than 1000 turns"],
    ["()".repeat(33), "more than 32 groups"],
  ])("%s is refused", (pattern, what) => {
    expect(() => patternContent(pattern, "schema.pattern")).toThrow(
      new ParameterError(
        `schema.pattern is ${JSON.stringify(pattern)}: ${what} is not supported in a pattern, write it without`,
        "schema.pattern",
      ),
    );
  });

  test("what is no regular expression is refused", () => {
    expect(() => patternContent("(", "schema.pattern")).toThrow(/schema\.pattern is "\(": Invalid regular expression/);
  });
});

describe("formats", () => {
  test.each([...FORMATS])("%s", (format, pattern) => {
    const grammar = quoted(patternContent(pattern, "format"));
    for (let seed = 0; seed < 50; seed++) {
      const text = JSON.parse(randomText(grammar, seed, 60));
      expect(FORMAT_CHECKS[format]!(text), text).toBe(true);
    }
  });

  test.each([
    ["date", "2026-02-30", "26-01-01"],
    ["time", "24:00:00Z", "12:00:00"],
    ["date-time", "2026-11-24", "2026-11-24 12:00:00Z"],
    ["duration", "P", "P1DT", "PT1H5S", "1D"],
    ["email", "a@b", "a b@c.de"],
    ["hostname", "-a", "a..b"],
    ["ipv4", "256.1.1.1", "1.2.3"],
    ["ipv6", "1:2:3", "g:2:3:4:5:6:7:8"],
    ["uri", "example.com", "https://", "https://a b"],
    ["uuid", "123"],
  ])("what is no %s is told so by these tests' own check", (format, ...texts) => {
    for (const text of texts) expect(FORMAT_CHECKS[format]!(text), text).toBe(false);
  });
});
