/** A way to run a model on one thread of the processor. The times are of the evaluation of tokens and of nothing else. */
export interface Runner {
  /** with its version. */
  readonly name: string;
  /** Seconds to decode tokens one by one, each with its logits. */
  decode(tokens: number): Promise<number>;
  /** Seconds to run a prompt from an empty state, with the logits of its last token. */
  prefill(tokens: number): Promise<number>;
  close(): Promise<void>;
}

/** Another implementation, running a GGUF file. */
export interface Peer extends Runner {
  /** Natural logarithms of the probabilities of the likeliest tokens after a prompt that `textOf` can spell. */
  logProbs(prompt: readonly number[]): Promise<ReadonlyMap<number, number>>;
}

/** A peer that cannot be installed or does not run as it must: the message says what to do. */
export class PeerError extends Error {
  override readonly name = "PeerError";
}
