import { describe, expect, test } from "vitest";
import { quoted } from "../../../worker/engine/constraint/json-grammar.ts";
import { FORMATS, patternContent } from "../../../worker/engine/constraint/string-pattern.ts";
import { ParameterError } from "../../../worker/engine/errors.ts";
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
  const isDate = (text: string): boolean => new Date(`${text}T00:00:00Z`).toISOString().startsWith(text);
  const checks: Record<string, (text: string) => boolean> = {
    date: isDate,
    time: (text) => !Number.isNaN(Date.parse(`2026-11-24T${text}`)),
    "date-time": (text) => isDate(text.slice(0, 10)) && !Number.isNaN(Date.parse(text)),
    email: (text) => /^[^@\s]+@[^@\s]+\.[a-z]{2,}$/.test(text) && new URL(`mailto:${text}`).pathname === text,
    hostname: (text) =>
      text.length <= 253 && text.split(".").every((l) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(l)),
    ipv4: (text) => text.split(".").every((n) => String(Number(n)) === n && Number(n) < 256),
    uuid: (text) => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(text),
  };
  test.each([...FORMATS])("%s", (format, pattern) => {
    const grammar = patternContent(pattern, "format");
    for (let seed = 0; seed < 20; seed++) {
      const text = randomText(grammar, seed, 60);
      expect(checks[format]!(text), text).toBe(true);
    }
  });
});
