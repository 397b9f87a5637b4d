import type { Model } from "../../engine/model.ts";
import { PenaltyWindow } from "../../engine/penalty-window.ts";
import { Sequence } from "../../engine/sequence.ts";
import { isOutOfMemory } from "./refuge.ts";

/** States kept: two a conversation, at the end of its last message and of the reply. */
const KEPT = 4;

interface Kept {
  /** those that the sequence has consumed. */
  readonly tokens: readonly number[];
  readonly sequence: Sequence;
}

/** States of conversations, so that one that is sent again with more behind it costs what is new. */
export class Conversations {
  readonly #model: Model;
  #kept: Kept[] = [];

  constructor(model: Model) {
    this.#model = model;
  }

  /** A sequence that has consumed the longest kept beginning of these tokens, short of all of them. */
  resume(tokens: readonly number[]): Sequence {
    const fits = this.#kept.filter(
      (kept) => kept.tokens.length < tokens.length && kept.tokens.every((t, i) => t === tokens[i]),
    );
    const best = fits.reduce<Kept | undefined>((a, b) => (a && a.tokens.length >= b.tokens.length ? a : b), undefined);
    const sequence = best?.sequence.fork() ?? new Sequence(this.#model);
    // As the edge does it: what was sampled counts as given once it is part of the conversation.
    sequence.window = new PenaltyWindow();
    sequence.window.pushAll(tokens.slice(0, sequence.consumed), false);
    sequence.seed = undefined;
    sequence.utf8 = new Uint8Array(0);
    sequence.held = "";
    return sequence;
  }

  /** Feeds up to the end of the last message, which the next request will begin with in any case, and keeps that. */
  async advance(sequence: Sequence, tokens: readonly number[], end: number, signal: AbortSignal): Promise<void> {
    if (end <= sequence.consumed) return;
    const fed = tokens.slice(sequence.consumed, end);
    sequence.window.pushAll(fed, false);
    await sequence.feed(fed, { signal });
    this.keep(sequence, tokens);
  }

  /** @param tokens of which the sequence has consumed the first */
  keep(sequence: Sequence, tokens: readonly number[]): void {
    let copy: Sequence;
    try {
      copy = sequence.fork();
    } catch (error) {
      // What is not kept is computed again.
      if (isOutOfMemory(error)) return;
      throw error;
    }
    copy.pending = [];
    this.#kept.push({ tokens: tokens.slice(0, copy.consumed), sequence: copy });
    for (const { sequence: old } of this.#kept.splice(0, this.#kept.length - KEPT)) old.dispose();
  }
}
