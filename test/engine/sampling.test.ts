import { describe, expect, test } from "vitest";
import { NonFiniteLogitsError } from "../../worker/engine/errors.ts";
import { PenaltyWindow } from "../../worker/engine/penalty-window.ts";
import { draw } from "../../worker/engine/random.ts";
import { mostProbable } from "../../worker/engine/ranking.ts";
import { type SamplingOptions, sample, validateSampling } from "../../worker/engine/sampling.ts";
import { randomLogits, windowOf } from "../support/sampling-inputs.ts";
import { distribution, drawnToken, total } from "../support/sampling-reference.ts";

const empty = new PenaltyWindow();

describe("sample is the naive algorithm", () => {
  const combinations: SamplingOptions[] = [
    {},
    { temperature: 0 },
    { temperature: 0.3 },
    { temperature: 2 },
    { topK: 1 },
    { topK: 7 },
    { topK: 40, topP: 0.95, temperature: 0.8 },
    { topK: 270 },
    { topK: 270, topP: 0.901 },
    { topK: 100_000 },
    { topP: 0.001 },
    { topP: 0.5 },
    { topP: 0.95 },
    { topP: 0.9999, temperature: 2 },
    { minP: 0.05 },
    { minP: 1 },
    { topK: 30, minP: 0.2, temperature: 1.7 },
    { topK: 300, topP: 0.8, minP: 0.01 },
    { topP: 0.9, minP: 0.3 },
    { typicalP: 0.201 },
    { typicalP: 0.95, temperature: 1.5 },
    { typicalP: 0.6, topK: 50, topP: 0.97 },
    { typicalP: 0.001, minP: 0.01 },
    { repetitionPenalty: 1.3, topP: 0.9 },
    { repetitionPenalty: 0.8, temperature: 0 },
    { frequencyPenalty: 0.7, presencePenalty: -0.4, topK: 20 },
    {
      logitBias: new Map([
        [0, 5],
        [3, -100],
        [17, 100],
      ]),
      topP: 0.99,
    },
    { repetitionPenalty: 1.1, frequencyPenalty: 1, presencePenalty: 1, logitBias: new Map([[2, 3]]), temperature: 0 },
  ];
  const shapes = [
    { vocab: 1, spread: 1, coarse: false },
    { vocab: 2, spread: 1, coarse: false },
    { vocab: 37, spread: 3, coarse: true },
    { vocab: 600, spread: 5, coarse: false },
    { vocab: 600, spread: 5, coarse: true },
    { vocab: 600, spread: 0, coarse: false },
    { vocab: 300, spread: 90, coarse: false },
  ];
  test.each(shapes)("of $vocab tokens, spread $spread, ties $coarse", ({ vocab, spread, coarse }) => {
    for (const [c, given] of combinations.entries()) {
      const bias = [...(given.logitBias ?? [])].filter(([token]) => token < vocab);
      const options = { ...given, logitBias: new Map(bias) };
      const parameters = validateSampling(options, vocab);
      for (let round = 0; round < 20; round++) {
        const logits = randomLogits(1000 * c + round, vocab, spread, coarse);
        const tokens = Array.from({ length: 60 }, (_, i) => Math.floor(draw(c, 100 * round + i) ** 2 * vocab));
        const window = windowOf(tokens.slice(0, 30), tokens.slice(30));
        const uniform = [0, 1 - 2 ** -24][round] ?? draw(5, 1000 * c + round);
        const seen = sample(logits, parameters, window, uniform).token;
        expect(seen, JSON.stringify({ given, round, uniform })).toBe(drawnToken(logits, options, window, uniform));
      }
    }
  });

  test("over 50,280 tokens", () => {
    // Sorting so many is what takes the time: every fourth combination.
    for (const [c, options] of combinations.filter((_, i) => i % 4 === 2).entries()) {
      const logits = randomLogits(c, 50_280, 6, false);
      const window = windowOf([1, 2, 3], [4, 4, 5]);
      const parameters = validateSampling(options, 50_280);
      expect(sample(logits, parameters, window, 0.37).token).toBe(drawnToken(logits, options, window, 0.37));
    }
  });

  test("drawn often, the shares are the probabilities", () => {
    const logits = Float32Array.of(1, 3, 2.5, -1, 0, 2.9);
    const options = { temperature: 1.3, topP: 0.95 };
    const parameters = validateSampling(options, 6);
    const n = 40_000;
    const counts = [0, 0, 0, 0, 0, 0];
    for (let i = 0; i < n; i++) counts[sample(logits, parameters, empty, draw(11, i)).token]!++;
    const kept = distribution(logits, options);
    expect(counts.filter((count) => count > 0).length).toBe(kept.length);
    for (const { token, weight } of kept) {
      const p = weight / total(kept);
      expect(Math.abs(counts[token]! - n * p)).toBeLessThan(5 * Math.sqrt(n * p));
    }
  });
});

test.each([false, true])("mostProbable is the beginning of the sorted list, ties %s", (coarse) => {
  for (const k of [0, 1, 2, 5, 40, 299, 300, 400]) {
    for (let round = 0; round < 30; round++) {
      const logits = randomLogits(round, 300, 5, coarse);
      if (round === 0) logits.sort();
      if (round === 1) logits.sort().reverse();
      const sorted = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
      expect(mostProbable(logits, k)).toEqual(sorted.slice(0, k));
    }
  }
});

describe("the first and the last kept token", () => {
  // probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625
  const logits = Float32Array.of(8, 4, 16, 2, 2).map(Math.log);
  test.each([
    { options: {}, last: 4 },
    { options: { topK: 1 }, last: 2 },
    { options: { topK: 3 }, last: 1 },
    { options: { topK: 4 }, last: 3 },
    { options: { topP: 0.4 }, last: 2 },
    { options: { topP: 0.51 }, last: 0 },
    { options: { topP: 0.8 }, last: 1 },
    { options: { topP: Number.MIN_VALUE }, last: 2 },
    { options: { minP: 1 }, last: 2 },
    { options: { minP: 0.4 }, last: 0 },
    { options: { minP: 0.1 }, last: 4 },
    { options: { minP: Number.MIN_VALUE }, last: 4 },
    { title: "top_p is of what top_k left", options: { topK: 2, topP: 0.6 }, last: 2 },
    { title: "min_p does not add to top_p", options: { topP: 0.6, minP: 0.1 }, last: 0 },
    { options: { temperature: 1e-6 }, last: 2 },
    { options: { temperature: Number.MIN_VALUE }, last: 2 },
    { options: { temperature: Number.MIN_VALUE, topK: 3 }, last: 2 },
  ])("$options: $last", ({ options, last }) => {
    const parameters = validateSampling(options, 5);
    expect(sample(logits, parameters, empty, 0).token).toBe(2);
    expect(sample(logits, parameters, empty, 1 - 2 ** -24).token).toBe(last);
  });
});

test.each([
  { uniform: 0, token: 0 },
  { uniform: 0.25 - 2 ** -24, token: 0 },
  { uniform: 0.25, token: 1 },
  { uniform: 0.75, token: 3 },
])("of four equal tokens $uniform draws $token", ({ uniform, token }) => {
  for (const options of [{}, { topK: 4 }, { minP: 1 }]) {
    expect(sample(new Float32Array(4), validateSampling(options, 4), empty, uniform).token).toBe(token);
  }
});

describe("logprobs", () => {
  const logits = randomLogits(3, 600, 5, true);
  const all = [...logits].map((x) => x - Math.log([...logits].reduce((sum, y) => sum + Math.exp(y), 0)));
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  const options = { temperature: 0.5, topK: 3, repetitionPenalty: 1.7, logitBias: new Map([[order[50]!, 100]]) };

  test("are the model's own, whatever the parameters", () => {
    const { token, logprob, top } = sample(logits, validateSampling(options, 600), windowOf([order[0]!], []), 0.2, {
      logprobs: 20,
    });
    expect(token).toBe(order[50]);
    expect(logprob).toBeCloseTo(all[token]!, 10);
    expect(top!.map(([id]) => id)).toEqual(order.slice(0, 20));
    for (const [id, value] of top!) expect(value).toBeCloseTo(all[id]!, 10);
  });

  test.each([0, 1, 600, 700])("top %i", (n) => {
    const { logprob, top } = sample(logits, validateSampling({}, 600), empty, 0.2, { logprobs: n });
    expect(logprob).toBeLessThan(0);
    expect(top!.map(([id]) => id)).toEqual(order.slice(0, n));
  });

  test("are left out unless asked for", () => {
    expect(Object.keys(sample(logits, validateSampling({}, 600), empty, 0.2))).toEqual(["token"]);
  });
});

describe("logits that are not finite", () => {
  test.each([
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ])("%d is an error that names the token", (bad) => {
    for (const token of [0, 1, 2]) {
      const logits = Float32Array.of(1, 2, 3);
      logits[token] = bad;
      for (const options of [{ temperature: 0 }, {}, { topK: 2 }]) {
        const run = () => sample(logits, validateSampling(options, 3), empty, 0);
        expect(run).toThrow(NonFiniteLogitsError);
        expect(run).toThrow(`the logit of token ${token} is ${bad}`);
      }
    }
  });

  test("no logits at all is an error", () => {
    expect(() => sample(new Float32Array(0), validateSampling({}, 3), empty, 0)).toThrow(RangeError);
  });
});
