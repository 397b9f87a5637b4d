import { describe, expect, test } from "vitest";
import { ParameterError } from "../../worker/engine/errors.ts";
import { PenaltyWindow } from "../../worker/engine/penalty-window.ts";
import { type SamplingOptions, sample, validateSampling } from "../../worker/engine/sampling.ts";
import { windowOf } from "../support/sampling-inputs.ts";

const empty = new PenaltyWindow();

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
