import { NonFiniteLogitsError, ParameterError } from "./errors.ts";
import { decay, log } from "./exact-math.ts";
import type { PenaltyWindow } from "./penalty-window.ts";
import { randomSeed, type Seed } from "./random.ts";
import { mostProbable, Ranking } from "./ranking.ts";

/** How the next token is chosen. The steps are taken in this order. */
export interface SamplingParameters {
  /** Every token in the penalty window: a positive logit is divided by it, another multiplied (CTRL, HF). (0, 2], 1 = off */
  repetitionPenalty: number;
  /** Taken from a token's logit for every time it was generated in the window (OpenAI). [-2, 2], 0 = off */
  frequencyPenalty: number;
  /** Taken once from the logit of a token generated in the window (OpenAI). [-2, 2], 0 = off */
  presencePenalty: number;
  /** Token → what is added to its logit (OpenAI). [-100, 100] */
  logitBias: ReadonlyMap<number, number>;
  /** Divides the logits. [0, 2]; 0 takes the most probable token, of equals the lowest id, and skips what follows. */
  temperature: number;
  /** Keeps the k most probable tokens. An integer ≥ 0, 0 = off */
  topK: number;
  /** Of what is left, keeps the fewest most probable tokens that hold at least this probability. (0, 1], 1 = off */
  topP: number;
  /** Keeps tokens at least this probable in proportion to the most probable one. [0, 1], 0 = off */
  minP: number;
  /**
   * Of what is left, keeps the fewest tokens that hold at least this probability, those first whose -ln p is nearest to its expected
   * value (locally typical sampling, arXiv:2202.00666). (0, 1], 1 = off
   */
  typicalP: number;
  /** Of the draws, see random.ts. */
  seed: Seed;
}

/** The parameters a request gives; the others take their defaults. */
export type SamplingOptions = { [K in keyof SamplingParameters]?: SamplingParameters[K] | undefined };

/** OpenAI's, and off where OpenAI has no such parameter. The seed is random when none is given. */
export const SAMPLING_DEFAULTS: Readonly<Omit<SamplingParameters, "seed">> = {
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: new Map(),
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
};

export interface Sample {
  token: number;
  /** ln p of the token under the model itself, before penalties, bias and temperature; when asked for. */
  logprob?: number;
  /** The most probable tokens under the model itself with their ln p, in order; when asked for. */
  top?: [token: number, logprob: number][];
}

/**
 * Completes the options with the defaults and checks them.
 * @param vocab the number of tokens
 * @throws {ParameterError} naming the parameter as on the wire, with what was seen and what is allowed
 */
export function validateSampling(options: SamplingOptions, vocab: number): SamplingParameters {
  const parameters: SamplingParameters = {
    repetitionPenalty: options.repetitionPenalty ?? SAMPLING_DEFAULTS.repetitionPenalty,
    frequencyPenalty: options.frequencyPenalty ?? SAMPLING_DEFAULTS.frequencyPenalty,
    presencePenalty: options.presencePenalty ?? SAMPLING_DEFAULTS.presencePenalty,
    logitBias: options.logitBias ?? SAMPLING_DEFAULTS.logitBias,
    temperature: options.temperature ?? SAMPLING_DEFAULTS.temperature,
    topK: options.topK ?? SAMPLING_DEFAULTS.topK,
    topP: options.topP ?? SAMPLING_DEFAULTS.topP,
    minP: options.minP ?? SAMPLING_DEFAULTS.minP,
    typicalP: options.typicalP ?? SAMPLING_DEFAULTS.typicalP,
    seed: options.seed ?? randomSeed(),
  };
  const { repetitionPenalty, frequencyPenalty, presencePenalty, temperature, topK, topP, minP, typicalP, seed } =
    parameters;
  check("repetition_penalty", repetitionPenalty, repetitionPenalty > 0 && repetitionPenalty <= 2, "above 0, at most 2");
  check("frequency_penalty", frequencyPenalty, Math.abs(frequencyPenalty) <= 2, "from -2 to 2");
  check("presence_penalty", presencePenalty, Math.abs(presencePenalty) <= 2, "from -2 to 2");
  for (const [token, bias] of parameters.logitBias) {
    check(
      "logit_bias",
      token,
      Number.isInteger(token) && token >= 0 && token < vocab,
      `a token from 0 to ${vocab - 1}`,
    );
    check("logit_bias", bias, Math.abs(bias) <= 100, "from -100 to 100");
  }
  check("temperature", temperature, temperature >= 0 && temperature <= 2, "from 0 to 2");
  check("top_k", topK, Number.isSafeInteger(topK) && topK >= 0, "an integer, 0 (off) or more");
  check("top_p", topP, topP > 0 && topP <= 1, "above 0, at most 1");
  check("min_p", minP, minP >= 0 && minP <= 1, "from 0 to 1");
  check("typical_p", typicalP, typicalP > 0 && typicalP <= 1, "above 0, at most 1");
  check("seed", seed, Number.isSafeInteger(seed) && seed >= 0, `an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
  return parameters;
}

function check(param: string, seen: number, allowed: boolean, range: string): void {
  // typeof: the comparisons above let "1" and null through, which a caller without types may pass.
  if (allowed && typeof seen === "number") return;
  throw new ParameterError(`${param} is ${typeof seen === "string" ? `"${seen}"` : seen}: it must be ${range}`, param);
}

// Shared by all sequences: sample is synchronous, and each call fills them anew.
const ranking = new Ranking();
let scratch = new Float32Array(0); // (≥ vocab)

export interface SampleOptions {
  /** when given, the result has `logprob` and the `top` of this many tokens, at the cost of an exp for each token of the vocabulary. */
  readonly logprobs?: number | undefined;
  /** the tokens to choose among, bit t % 32 of word t / 32; at least one. Absent means all. */
  readonly allowed?: Uint32Array | undefined;
}

/**
 * Chooses the next token. The same arguments give the same token on every host (see exact-math.ts).
 * @param logits (vocab) of the model; not changed
 * @param parameters as validateSampling gives them
 * @param window the sequence's last tokens
 * @param uniform in [0, 1), from draw(seed, position)
 * @throws {NonFiniteLogitsError}
 */
export function sample(
  logits: Float32Array,
  parameters: SamplingParameters,
  window: PenaltyWindow,
  uniform: number,
  { logprobs, allowed }: SampleOptions = {},
): Sample {
  const best = argmax(logits);
  const penalized = keepAllowed(penalize(logits, parameters, window), allowed);
  const start = penalized === logits ? best : argmax(penalized);
  const token = parameters.temperature === 0 ? start : drawFrom(penalized, penalized[start]!, parameters, uniform);
  if (logprobs === undefined) return { token };

  return { token, ...scoresOf(logits, token, logprobs) };
}

/**
 * A token's ln p, and the most probable tokens with theirs, in order.
 * @param logits (vocab) of the model
 */
export function scoresOf(
  logits: Float32Array,
  token: number,
  count: number,
): { logprob: number; top: [token: number, logprob: number][] } {
  const logTotal = logSumExp(logits, logits[argmax(logits)]!);
  const top = mostProbable(logits, count).map((id): [number, number] => [id, logits[id]! - logTotal]);
  return { logprob: logits[token]! - logTotal, top };
}

/** Up to this top_k collecting the best tokens costs less than weighing all. */
const SHORT_LIST = 256;

function drawFrom(logits: Float32Array, max: number, parameters: SamplingParameters, uniform: number): number {
  const { temperature, topK, topP, minP, typicalP } = parameters;
  if (topK > 0 && topK <= SHORT_LIST) {
    ranking.fillTop(logits, max, temperature, topK);
  } else {
    ranking.fill(logits, max, temperature);
    if (topK > 0) ranking.keepTop(topK);
  }
  if (topP < 1) ranking.keepMass(topP);
  // The reciprocal of a subnormal number is infinite.
  if (minP > 0) ranking.keepWithin(log(Math.min(1 / minP, Number.MAX_VALUE)));
  if (typicalP < 1) ranking.keepTypical(typicalP);
  return ranking.draw(uniform);
}

/** Puts the other tokens out of reach: in the scratch array, unless all are allowed. */
function keepAllowed(logits: Float32Array, allowed: Uint32Array | undefined): Float32Array {
  if (allowed === undefined) return logits;
  const kept = scratchOf(logits);
  for (let token = 0; token < kept.length; token++) {
    if (((allowed[token >> 5]! >>> (token & 31)) & 1) === 0) kept[token] = -LARGEST_F32;
  }
  return kept;
}

/** The logits in the scratch array, where they may be changed. */
function scratchOf(logits: Float32Array): Float32Array {
  if (logits.buffer === scratch.buffer) return logits;
  if (scratch.length < logits.length) scratch = new Float32Array(logits.length);
  const copy = scratch.subarray(0, logits.length);
  copy.set(logits);
  return copy;
}

/** The logits after penalties and bias: the given array itself when these change nothing, else the scratch array. */
function penalize(logits: Float32Array, parameters: SamplingParameters, window: PenaltyWindow): Float32Array {
  const { repetitionPenalty, frequencyPenalty, presencePenalty, logitBias } = parameters;
  const repetition = repetitionPenalty !== 1;
  const counted = frequencyPenalty !== 0 || presencePenalty !== 0;
  if (!repetition && !counted && logitBias.size === 0) return logits;

  const changed = scratchOf(logits);
  if (repetition) {
    for (const [token] of window.counts()) {
      const logit = changed[token];
      if (logit === undefined) continue;
      changed[token] = finite(logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty);
    }
  }
  if (counted) {
    for (const [token, count] of window.countsGenerated()) {
      const logit = changed[token];
      if (logit !== undefined) changed[token] = finite(logit - frequencyPenalty * count - presencePenalty);
    }
  }
  for (const [token, bias] of logitBias) {
    const logit = changed[token];
    if (logit !== undefined) changed[token] = finite(logit + bias);
  }
  return changed;
}

const LARGEST_F32 = 3.4028234663852886e38;

/** Keeps a large logit over a tiny penalty within f32. */
function finite(logit: number): number {
  return Math.max(-LARGEST_F32, Math.min(LARGEST_F32, logit));
}

/** The index of the largest, of equals the lowest. */
function argmax(logits: Float32Array): number {
  if (logits.length === 0) throw new RangeError("there are no logits to choose from");
  let best = 0;
  let max = Number.NEGATIVE_INFINITY;
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token]!;
    if (logit > max) {
      max = logit;
      best = token;
    } else if (!(logit >= -LARGEST_F32)) {
      throw new NonFiniteLogitsError(token, logit);
    }
  }
  if (max > LARGEST_F32) throw new NonFiniteLogitsError(best, max);
  return best;
}

/** ln Σ e^logit over the whole vocabulary. */
function logSumExp(logits: Float32Array, max: number): number {
  let total = 0;
  for (let token = 0; token < logits.length; token++) total += decay(max - logits[token]!);
  return max + log(total);
}
