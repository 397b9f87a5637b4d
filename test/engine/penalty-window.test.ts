import { describe, expect, test } from "vitest";
import { PENALTY_WINDOW, PenaltyWindow } from "../../worker/engine/penalty-window.ts";
import { draw } from "../../worker/engine/random.ts";

/** The same by counting a plain list. */
function expectCounts(window: PenaltyWindow, all: [token: number, generated: boolean][]): void {
  const last = all.slice(-PENALTY_WINDOW);
  expect(window.size).toBe(last.length);
  for (const token of new Set(all.map(([token]) => token))) {
    expect(window.count(token)).toBe(last.filter(([t]) => t === token).length);
    expect(window.countGenerated(token)).toBe(last.filter(([t, generated]) => t === token && generated).length);
  }
  const sorted = (counts: Iterable<[number, number]>) => [...counts].sort(([a], [b]) => a - b);
  const distinct = [...new Set(last.map(([token]) => token))].sort((a, b) => a - b);
  expect(sorted(window.counts())).toEqual(distinct.map((token) => [token, window.count(token)]));
  expect(sorted(window.countsGenerated())).toEqual(
    distinct.map((token) => [token, window.countGenerated(token)]).filter(([, count]) => count! > 0),
  );
}

test("counts the last 512 tokens, before and after it is full, restored and forked at any point", () => {
  let window = new PenaltyWindow();
  const all: [number, boolean][] = [];
  for (let i = 0; i < 1300; i++) {
    const token = Math.floor(draw(1, i) ** 3 * 40);
    const generated = draw(2, i) < 0.5;
    window.push(token, generated);
    all.push([token, generated]);
    if (i % 61 === 0) {
      expectCounts(window, all);
      window = i % 2 === 0 ? PenaltyWindow.fromArrays(structuredClone(window.toArrays())) : window.fork();
    }
  }
  expectCounts(window, all);
  expect(window.toArrays()).toEqual({
    tokens: all.slice(-512).map(([token]) => token),
    generated: all.slice(-512).map(([, generated]) => (generated ? 1 : 0)),
  });
});

test("a long span counts as token by token", () => {
  const tokens = Array.from({ length: 2000 }, (_, i) => Math.floor(draw(3, i) * 50));
  const [one, span] = [new PenaltyWindow(), new PenaltyWindow()];
  for (const token of tokens) one.push(token, false);
  span.pushAll(tokens, false);
  expect(span.toArrays()).toEqual(one.toArrays());
});

test("a fork goes its own way", () => {
  const window = new PenaltyWindow();
  window.push(7, true);
  const fork = window.fork();
  fork.push(7, true);
  expect([window.count(7), fork.count(7)]).toEqual([1, 2]);
});

describe("refused", () => {
  test.each([-1, 0.5, Number.NaN, 2 ** 32])("token %d", (token) => {
    expect(() => new PenaltyWindow().push(token, false)).toThrow(RangeError);
  });

  test.each([
    { title: "arrays of different lengths", arrays: { tokens: [1, 2], generated: [0] } },
    { title: "more than 512", arrays: { tokens: Array(513).fill(1), generated: Array(513).fill(0) } },
    { title: "a mark other than 0 or 1", arrays: { tokens: [1], generated: [2] } },
    { title: "a token that is none", arrays: { tokens: [-1], generated: [0] } },
  ])("$title", ({ arrays }) => {
    expect(() => PenaltyWindow.fromArrays(arrays)).toThrow(RangeError);
  });
});
