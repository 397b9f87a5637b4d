import {
  type GenerationChunk,
  type GenerationOptions,
  type GenerationResult,
  generate,
  opening,
} from "../../engine/generate.ts";
import type { Model } from "../../engine/model.ts";
import { validateSampling } from "../../engine/sampling.ts";
import type { Sequence } from "../../engine/sequence.ts";
import { restoreSnapshot, type Snapshot, takeSnapshot } from "../../engine/snapshot.ts";
import { boundaryHashes, MARK_TOKENS } from "../prefixes/boundary-hashes.ts";

/** Keeps where an append has come to. Failing to keep or to find is logged, and never a request's failure. */
export interface Marks {
  /** The kept state, where it is one of these. */
  find(hashes: readonly string[]): Promise<{ readonly hash: string; readonly snapshot: Snapshot } | undefined>;
  put(hash: string, sequence: Sequence, snapshot: Snapshot): Promise<void>;
}

/** An append that keeps its state every 2,048 tokens. */
export interface MarkedAppend {
  readonly sequence: Sequence;
  /** As generate() without marks: the same text, and a result that counts what came from a mark. */
  generate(options: GenerationOptions): AsyncGenerator<GenerationChunk, GenerationResult>;
}

/**
 * A long append that was broken off, because its client went away or its time was over, goes on from its last mark when it is sent
 * again.
 * @param base where the session is; given back when there is a mark to go on from
 * @returns undefined when the append has fewer tokens than there are between two marks
 */
export async function beginMarkedAppend(
  model: Model,
  base: Sequence,
  prompt: readonly number[],
  marks: Marks,
): Promise<MarkedAppend | undefined> {
  const before = [...opening(base, prompt), ...base.pending];
  const input = [...before, ...prompt];
  // The last token is left to generate().
  const last = input.length - 1;
  if (last < MARK_TOKENS) return undefined;
  const places = (await boundaryHashes(input, [last])).filter(({ tokens }) => tokens % MARK_TOKENS === 0);
  const hit = await marks.find(places.map(({ hash }) => hash));
  const sequence = hit === undefined ? base : restoreSnapshot(model, hit.snapshot, { otherQuantization: true });
  if (hit !== undefined) base.dispose();
  let done = places.find(({ hash }) => hash === hit?.hash)?.tokens ?? 0;
  const cached = sequence.consumed;

  async function* run(options: GenerationOptions): AsyncGenerator<GenerationChunk, GenerationResult> {
    validateSampling({ ...options.sampling, seed: options.sampling.seed ?? 0 }, model.vocab);
    const { signal, more } = options;
    for (const { tokens: end, hash } of places) {
      if (end <= done) continue;
      // As generate() does when text follows what was held back.
      sequence.pending = [];
      sequence.utf8 = new Uint8Array(0);
      sequence.held = "";
      sequence.window.pushAll(input.slice(Math.max(done, before.length), end), false);
      await sequence.feed(input.slice(done, end), { signal, more });
      done = end;
      await marks.put(hash, sequence, await takeSnapshot(sequence));
      signal?.throwIfAborted();
    }
    const prefilled = sequence.consumed - cached;
    const result = yield* generate(sequence, { ...options, prompt: input.slice(done) });
    return { ...result, cachedTokens: cached, computedTokens: prefilled + result.computedTokens };
  }

  return { sequence, generate: run };
}
