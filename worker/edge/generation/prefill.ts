import type { Model } from "../../engine/model.ts";
import { PenaltyWindow } from "../../engine/penalty-window.ts";
import { type FeedOptions, Sequence } from "../../engine/sequence.ts";
import { restoreSnapshot, type Snapshot, takeSnapshot } from "../../engine/snapshot.ts";
import type { Boundary } from "../prefixes/boundary-hashes.ts";
import type { KeptState } from "../prefixes/prefixes.ts";

/**
 * A state as it is kept: what follows from the tokens alone, whoever sampled them. The penalties' window, which holds tokens, is made
 * again from those of the request.
 */
export async function bareSnapshot(sequence: Sequence): Promise<Snapshot> {
  const window = new PenaltyWindow().toArrays();
  const bare = { pending: [], window, seed: undefined, utf8: new Uint8Array(0), held: "" };
  return { ...(await takeSnapshot(sequence)), ...bare };
}

/** A sequence at a kept state, or at the beginning, as if it had been fed all tokens before. */
export function sequenceAt(model: Model, tokens: readonly number[], snapshot: Snapshot | undefined): Sequence {
  const sequence = snapshot === undefined ? new Sequence(model) : restoreSnapshot(model, snapshot);
  sequence.window.pushAll(tokens.slice(0, sequence.consumed), false);
  return sequence;
}

/**
 * Feeds a conversation's tokens up to `end`.
 * @returns the states at the boundaries that are to be kept
 */
export async function prefill(
  sequence: Sequence,
  tokens: readonly number[],
  end: number,
  keep: readonly Boundary[],
  options: Pick<FeedOptions, "signal" | "more">,
): Promise<KeptState[]> {
  const states: KeptState[] = [];
  const feed = async (to: number): Promise<void> => {
    const next = tokens.slice(sequence.consumed, to);
    sequence.window.pushAll(next, false);
    await sequence.feed(next, options);
  };
  for (const boundary of keep) {
    if (boundary.tokens <= sequence.consumed || boundary.tokens > end) continue;
    await feed(boundary.tokens);
    states.push({ boundary, snapshot: await bareSnapshot(sequence) });
  }
  if (end > sequence.consumed) await feed(end);
  return states;
}
