import { NonFiniteLogitsError } from "../../engine/errors.ts";
import { nextMacrotask } from "../../engine/macrotask.ts";
import type { Model } from "../../engine/model.ts";
import { type FeedOptions, Sequence } from "../../engine/sequence.ts";

/** Positions computed one by one between two macrotasks. */
const POSITIONS_A_PIECE = 16;

export interface TokenInference {
  readonly tokens: readonly number[];
  /** as many as tokens. */
  readonly targets: readonly number[] | undefined;
  /** which positions' logits are wanted. */
  readonly logits: "none" | "last" | "all";
}

export interface TokenOutputs {
  /** (positions, vocab); empty for "none". */
  readonly logits: Float32Array;
  /** (tokens) ln p(targets[t] | tokens[0..t]); empty without targets. */
  readonly logProbs: Float32Array;
}

/**
 * Feeds tokens, and nothing else, to a fresh state.
 * @throws NonFiniteLogitsError, and what Sequence.feed throws
 */
export async function inferTokens(
  model: Model,
  { tokens, targets, logits }: TokenInference,
  options: Pick<FeedOptions, "signal" | "more">,
): Promise<TokenOutputs> {
  const sequence = new Sequence(model);
  try {
    if (logits !== "all") {
      const fed = await sequence.feed(tokens, {
        ...options,
        ...(targets !== undefined && { targets }),
        logits: logits === "last",
      });
      return finite(fed, model.vocab);
    }
    // One token or many at a time give the same result, bit for bit.
    const all = {
      logits: new Float32Array(tokens.length * model.vocab),
      logProbs: new Float32Array(targets?.length ?? 0),
    };
    for (const [i, token] of tokens.entries()) {
      const target = targets?.[i];
      const fed = await sequence.feed([token], {
        ...options,
        ...(target !== undefined && { targets: [target] }),
        logits: true,
      });
      all.logits.set(fed.logits, i * model.vocab);
      if (target !== undefined) all.logProbs.set(fed.logProbs, i);
      if (i % POSITIONS_A_PIECE === POSITIONS_A_PIECE - 1) await nextMacrotask();
    }
    return finite(all, model.vocab);
  } finally {
    sequence.dispose();
  }
}

/** JSON has no way to write a number that is not finite. */
function finite(outputs: TokenOutputs, vocab: number): TokenOutputs {
  const bad = outputs.logits.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new NonFiniteLogitsError(bad % vocab, outputs.logits[bad]!);
  return outputs;
}
