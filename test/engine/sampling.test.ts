import { describe, expect, test } from "vitest";
import { NonFiniteLogitsError, ParameterError } from "../../worker/engine/errors.ts";
import { PenaltyWindow } from "../../worker/engine/penalty-window.ts";
import { draw } from "../../worker/engine/random.ts";
import { mostProbable } from "../../worker/engine/ranking.ts";
import { type SamplingOptions, sample, validateSampling } from "../../worker/engine/sampling.ts";

const empty = new PenaltyWindow();

function windowOf(prompt: number[], generated: number[]): PenaltyWindow {
  const window = new PenaltyWindow();
  window.pushAll(prompt, false);
  window.pushAll(generated, true);
  return window;
}

/** Rounded to multiples of a quarter when `coarse`, so that there are ties. */
function randomLogits(seed: number, vocab: number, spread: number, coarse: boolean): Float32Array {
  const logit = (i: number) => (draw(seed, 3 * i) + draw(seed, 3 * i + 1) + draw(seed, 3 * i + 2) - 1.5) * 2 * spread;
  return Float32Array.from({ length: vocab }, (_, i) => (coarse ? Math.round(logit(i) * 4) / 4 : logit(i)));
}

/** Logits after penalties and bias, said plainly. */
function penalized(logits: Float32Array, options: SamplingOptions, window: PenaltyWindow): Float32Array {
  const { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0, logitBias = new Map() } = options;
  const { tokens, generated } = window.toArrays();
  const repeated = logits.map((x, token) => {
    if (!tokens.includes(token)) return x;
    return x > 0 ? x / repetitionPenalty : x * repetitionPenalty;
  });
  const counted = repeated.map((x, token) => {
    const count = tokens.filter((seen, i) => seen === token && generated[i] === 1).length;
    return x - count * frequencyPenalty - (count > 0 ? presencePenalty : 0);
  });
  return counted.map((x, token) => x + (logitBias.get(token) ?? 0));
}

/** The kept tokens in order with their weights, the best one's being 1: everything sorted, everything weighed. */
function distribution(logits: Float32Array, options: SamplingOptions): { token: number; weight: number }[] {
  const { temperature = 1, topK = 0, topP = 1, minP = 0, typicalP = 1 } = options;
  const max = Math.max(...logits);
  let kept = [...logits]
    .map((x, token) => ({ token, x, weight: Math.exp((x - max) / temperature) }))
    .sort((a, b) => b.x - a.x || a.token - b.token);
  if (topK > 0) kept = kept.slice(0, topK);
  if (topP < 1)
    kept = kept.slice(
      0,
      places(kept, (sum) => sum >= topP * total(kept)),
    );
  kept = kept.filter(({ weight }) => weight >= minP);
  return typicalP < 1 ? typical(kept, typicalP) : kept;
}

/** The locally typical set as the paper has it: by how far the information of a token is from the entropy. */
function typical<T extends { weight: number }>(tokens: T[], mass: number): T[] {
  const all = total(tokens);
  const information = ({ weight }: T): number => -Math.log(weight / all);
  const possible = tokens.filter(({ weight }) => weight > 0);
  const entropy = possible.reduce((sum, token) => sum + (token.weight / all) * information(token), 0);
  const deviation = (token: T): number => Math.abs(information(token) - entropy);
  const order = possible.sort((a, b) => deviation(a) - deviation(b));
  return order.slice(
    0,
    places(order, (sum) => sum >= mass * all),
  );
}

function total(tokens: { weight: number }[]): number {
  return tokens.reduce((sum, { weight }) => sum + weight, 0);
}

/** How many tokens it takes until the sum of their weights is enough. */
function places(tokens: { weight: number }[], enough: (sum: number) => boolean): number {
  let sum = 0;
  const end = tokens.findIndex(({ weight }) => {
    sum += weight;
    return enough(sum);
  });
  return end < 0 ? tokens.length : end + 1;
}

function oracle(logits: Float32Array, options: SamplingOptions, window: PenaltyWindow, uniform: number): number {
  const changed = penalized(logits, options, window);
  if (options.temperature === 0) return changed.indexOf(Math.max(...changed));
  const kept = distribution(changed, options);
  const target = uniform * total(kept);
  return kept[places(kept, (sum) => sum > target) - 1]!.token;
}

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
        expect(seen, JSON.stringify({ given, round, uniform })).toBe(oracle(logits, options, window, uniform));
      }
    }
  });

  test("over 50,280 tokens", () => {
    // Sorting so many is what takes the time: every fourth combination.
    for (const [c, options] of combinations.filter((_, i) => i % 4 === 2).entries()) {
      const logits = randomLogits(c, 50_280, 6, false);
      const window = windowOf([1, 2, 3], [4, 4, 5]);
      const parameters = validateSampling(options, 50_280);
      expect(sample(logits, parameters, window, 0.37).token).toBe(oracle(logits, options, window, 0.37));
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

describe("penalties and bias", () => {
  const greedy = (logits: number[], options: SamplingOptions, window = empty) =>
    sample(Float32Array.from(logits), validateSampling({ temperature: 0, ...options }, logits.length), window, 0).token;

  test.each([
    { title: "greedy takes the largest", logits: [1, 3, 2], options: {}, token: 1 },
    { title: "of equals the lowest id", logits: [1, 3, 3], options: {}, token: 1 },
    { title: "a bias of 100 chooses", logits: [9, -50, 0], options: { logitBias: new Map([[1, 100]]) }, token: 1 },
    { title: "a bias of -100 bans", logits: [50, 1, 0], options: { logitBias: new Map([[0, -100]]) }, token: 1 },
  ])("$title", ({ logits, options, token }) => {
    expect(greedy(logits, options)).toBe(token);
  });

  test.each([
    { title: "divides a positive logit", logits: [2.1, 2], prompt: [0], generated: [], token: 1 },
    { title: "multiplies a negative logit", logits: [-1.9, -2], prompt: [0], generated: [], token: 1 },
    { title: "counts a token once", logits: [2.9, 2], prompt: [0, 0, 0], generated: [0], token: 0 },
    { title: "takes generated tokens too", logits: [2.1, 2], prompt: [], generated: [0], token: 1 },
    { title: "leaves a logit of 0", logits: [0, -0.1], prompt: [0], generated: [], token: 0 },
  ])("repetition penalty 1.4 $title", ({ logits, prompt, generated, token }) => {
    expect(greedy(logits, { repetitionPenalty: 1.4 }, windowOf(prompt, generated))).toBe(token);
  });

  test.each([
    {
      title: "the prompt does not count",
      prompt: [0, 0, 0],
      generated: [],
      options: { frequencyPenalty: 2, presencePenalty: 2 },
      token: 0,
    },
    {
      title: "frequency counts every time",
      prompt: [],
      generated: [0, 0, 0],
      options: { frequencyPenalty: 0.4 },
      token: 1,
    },
    { title: "twice is not enough", prompt: [], generated: [0, 0], options: { frequencyPenalty: 0.4 }, token: 0 },
    { title: "presence counts once", prompt: [], generated: [0, 0, 0], options: { presencePenalty: 0.9 }, token: 0 },
    { title: "presence is enough", prompt: [], generated: [0], options: { presencePenalty: 1.1 }, token: 1 },
    { title: "negative ones favour", prompt: [], generated: [1], options: { presencePenalty: -1.1 }, token: 1 },
  ])("$title", ({ prompt, generated, options, token }) => {
    expect(greedy([3, 2], options, windowOf(prompt, generated))).toBe(token);
  });

  test("tokens in the window beyond the logits are passed over", () => {
    const options = { repetitionPenalty: 1.5, frequencyPenalty: 1, logitBias: new Map([[1, 1]]) };
    expect(greedy([3, 2], options, windowOf([7], [9]))).toBe(0);
  });

  test("a tiny repetition penalty stays finite", () => {
    const parameters = validateSampling({ repetitionPenalty: Number.MIN_VALUE }, 2);
    expect(sample(Float32Array.of(1, 2), parameters, windowOf([0], []), 0.999).token).toBe(0);
  });

  test("leave the caller's logits alone", () => {
    const logits = Float32Array.of(3, 2, 1);
    greedy([...logits], { repetitionPenalty: 2 }, windowOf([0], [0]));
    sample(
      logits,
      validateSampling({ repetitionPenalty: 2, logitBias: new Map([[1, 9]]) }, 3),
      windowOf([0], [0]),
      0.5,
    );
    expect([...logits]).toEqual([3, 2, 1]);
  });
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

describe("validateSampling", () => {
  test("completes with the defaults and a random seed", () => {
    const { seed, ...rest } = validateSampling({ topK: undefined }, 10);
    expect(rest).toEqual({
      repetitionPenalty: 1,
      frequencyPenalty: 0,
      presencePenalty: 0,
      logitBias: new Map(),
      temperature: 1,
      topK: 0,
      topP: 1,
      minP: 0,
      typicalP: 1,
    });
    expect(Number.isSafeInteger(seed)).toBe(true);
    expect(validateSampling({}, 10).seed).not.toBe(seed);
  });

  test.each([
    { temperature: 0, topP: 1, minP: 0, topK: 0, seed: 0 },
    { temperature: 2, topP: 1e-9, minP: 1, topK: 1e9, seed: 2 ** 53 - 1 },
    {
      frequencyPenalty: -2,
      presencePenalty: 2,
      repetitionPenalty: 2,
      logitBias: new Map([
        [0, -100],
        [9, 100],
      ]),
    },
  ])("takes %o", (options) => {
    expect(validateSampling(options, 10)).toMatchObject(options);
  });

  const { NaN: nan, POSITIVE_INFINITY: infinity } = Number;
  const outside: [keyof SamplingOptions, string, unknown[]][] = [
    ["temperature", "temperature", [-0.1, 2.1, nan, infinity, "1"]],
    ["topP", "top_p", [0, -1, 1.01, nan, infinity, "0.5"]],
    ["minP", "min_p", [-0.1, 1.1, nan, infinity]],
    ["typicalP", "typical_p", [0, -0.1, 1.1, nan]],
    ["topK", "top_k", [-1, 1.5, nan, infinity, "5"]],
    ["frequencyPenalty", "frequency_penalty", [-2.1, 2.1, nan, -infinity]],
    ["presencePenalty", "presence_penalty", [-2.1, 2.1, nan, infinity]],
    ["repetitionPenalty", "repetition_penalty", [0, -1, 2.1, nan, infinity]],
    ["seed", "seed", [-1, 0.5, 2 ** 53, nan, infinity]],
    ["logitBias", "logit_bias", [new Map([[10, 1]]), new Map([[-1, 1]]), new Map([[0.5, 1]]), new Map([[nan, 1]])]],
    ["logitBias", "logit_bias", [new Map([[1, 101]]), new Map([[1, -101]]), new Map([[1, nan]])]],
  ];
  const cases = outside.flatMap(([option, param, values]) => values.map((value) => ({ option, param, value })));
  test.each(cases)("refuses $param $value", ({ option, param, value }) => {
    const run = () => validateSampling({ [option]: value } as SamplingOptions, 10);
    expect(run).toThrow(ParameterError);
    expect(run).toThrow(expect.objectContaining({ param }));
  });

  test("says what was seen and what is allowed", () => {
    expect(() => validateSampling({ topP: 1.5 }, 10)).toThrow("top_p is 1.5: it must be above 0, at most 1");
    expect(() => validateSampling({ logitBias: new Map([[10, 1]]) }, 10)).toThrow(
      "logit_bias is 10: it must be a token from 0 to 9",
    );
  });
});
