import type { PenaltyWindow } from "../../worker/engine/penalty-window.ts";
import type { SamplingOptions } from "../../worker/engine/sampling.ts";

// Sampling said plainly, everything sorted and everything weighed, for the engine's to be compared with.

/** Logits after penalties and bias. */
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

/** The kept tokens in order with their weights, the best one's being 1. */
export function distribution(logits: Float32Array, options: SamplingOptions): { token: number; weight: number }[] {
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

/** The sum of the weights. */
export function total(tokens: { weight: number }[]): number {
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

/** The token that `uniform` (0 ≤ it < 1) draws; with a temperature of 0 the first of the largest. */
export function drawnToken(
  logits: Float32Array,
  options: SamplingOptions,
  window: PenaltyWindow,
  uniform: number,
): number {
  const changed = penalized(logits, options, window);
  if (options.temperature === 0) return changed.indexOf(Math.max(...changed));
  const kept = distribution(changed, options);
  const target = uniform * total(kept);
  return kept[places(kept, (sum) => sum > target) - 1]!.token;
}
