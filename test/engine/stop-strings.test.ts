import { describe, expect, test } from "vitest";
import { ParameterError } from "../../worker/engine/errors.ts";
import { draw } from "../../worker/engine/random.ts";
import { StopMatcher } from "../../worker/engine/stop-strings.ts";

/** Reads to each end in turn: the first end with a stop string before it, the longest of those. */
function oracle(text: string, stops: string[]): { text: string; stopped?: string } {
  for (let end = 1; end <= text.length; end++) {
    const matches = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    const [stopped] = matches.toSorted((a, b) => b.length - a.length);
    if (stopped !== undefined) return { text: text.slice(0, end - stopped.length), stopped };
  }
  return { text };
}

describe("push", () => {
  test.each([
    { title: "no stops", stops: [], pushes: ["ab"], emitted: ["ab"] },
    { title: "in one push", stops: ["b"], pushes: ["abc"], emitted: ["a"], stopped: "b" },
    { title: "across pushes", stops: ["END"], pushes: ["aE", "N", "Db"], emitted: ["a", "", ""], stopped: "END" },
    { title: "a false start is given out", stops: ["END"], pushes: ["aE", "N", "x"], emitted: ["a", "", "ENx"] },
    { title: "only the longest possible start is held", stops: ["aab"], pushes: ["aaa"], emitted: ["a"] },
    { title: "the first to be complete wins", stops: ["abcd", "bc"], pushes: ["abcd"], emitted: ["a"], stopped: "bc" },
    {
      title: "of two complete at once the longer",
      stops: ["c", "abc"],
      pushes: ["xabc"],
      emitted: ["x"],
      stopped: "abc",
    },
    { title: "a pair's first half waits", stops: ["x"], pushes: ["a\ud83d", "\ude00"], emitted: ["a", "😀"] },
    { title: "a stop with half in common", stops: ["😀"], pushes: ["\ud83d", "\ude01"], emitted: ["", "😁"] },
    { title: "nothing after a stop", stops: ["b"], pushes: ["ab", "c"], emitted: ["a", ""], stopped: "b" },
  ])("$title", ({ stops, pushes, emitted, stopped }) => {
    const matcher = new StopMatcher(stops);
    const results = pushes.map((text) => matcher.push(text));
    expect(results.map(({ text }) => text)).toEqual(emitted);
    expect(results.at(-1)!.stopped).toBe(stopped);
  });
});

describe("random texts over a tiny alphabet, cut anywhere", () => {
  const alphabet = ["a", "b", "😀", "😁"];
  const random = (round: number, i: number) => draw(round, i);
  const word = (round: number, from: number, length: number) =>
    Array.from({ length }, (_, i) => alphabet[Math.floor(random(round, from + i) ** 2 * alphabet.length)]).join("");

  test("the emitted text is the oracle's, and nothing is held that need not be", () => {
    let stops = 0;
    for (let round = 0; round < 4000; round++) {
      const given = Array.from({ length: Math.floor(random(round, 0) * 4) }, (_, i) =>
        word(round, 100 * (i + 1), 1 + Math.floor(random(round, 10 + i) * 4)),
      );
      const text = word(round, 1000, Math.floor(random(round, 1) * 14));
      const want = oracle(text, given);
      let matcher = new StopMatcher(given);
      let out = "";
      let stopped: string | undefined;
      for (let from = 0, n = 0; from < text.length && stopped === undefined; n++) {
        const to = from + Math.floor(random(round, 2000 + n) * 4);
        const result = matcher.push(text.slice(from, to));
        expect(result.text.isWellFormed()).toBe(true);
        out += result.text;
        stopped = result.stopped;
        from = Math.min(to, text.length);
        if (stopped === undefined) {
          expect(out + matcher.held).toBe(text.slice(0, from));
          const needed = longestStart(text.slice(0, from), given);
          expect(matcher.held.length, JSON.stringify({ given, text: text.slice(0, from) })).toBe(needed);
          matcher = new StopMatcher(given, matcher.held);
        }
      }
      if (stopped === undefined) out += matcher.flush();
      else stops++;
      expect({ out, stopped }, JSON.stringify({ given, text })).toEqual({ out: want.text, stopped: want.stopped });
    }
    expect(stops).toBeGreaterThan(1000);
  });

  /** Units at the end that begin a stop string, or one for half a pair. */
  function longestStart(text: string, stops: string[]): number {
    const lengths = Array.from({ length: text.length + 1 }, (_, length) => length);
    const begins = (length: number) =>
      length === 0 || stops.some((stop) => stop.length > length && stop.startsWith(text.slice(text.length - length)));
    const longest = lengths.filter(begins).at(-1)!;
    return longest === 0 && !text.isWellFormed() ? 1 : longest;
  }
});

describe("held text", () => {
  test("goes on in a new matcher", () => {
    const before = new StopMatcher(["END"]);
    before.push("aEN");
    expect(before.held).toBe("EN");
    expect(new StopMatcher(["END"], before.held).push("D")).toEqual({ text: "", stopped: "END" });
  });

  test("is given out when the next request has other stops", () => {
    expect(new StopMatcher([], "EN").push("x").text).toBe("ENx");
  });

  test("is given out at the end, half a pair as U+FFFD", () => {
    const matcher = new StopMatcher(["END"]);
    matcher.push("aEN");
    expect(matcher.flush()).toBe("EN");
    expect(matcher.held).toBe("");
    expect(new StopMatcher([], "\ud83d").flush()).toBe("\ufffd");
  });
});

test.each([[[""]], [["a", ""]], [["\ud83d"]], ["ab" as never], [[5 as never]]])("stop %j is refused", (stops) => {
  expect(() => new StopMatcher(stops)).toThrow(ParameterError);
  expect(() => new StopMatcher(stops)).toThrow(expect.objectContaining({ param: "stop" }));
});
