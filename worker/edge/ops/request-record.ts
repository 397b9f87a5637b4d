/** Tokens of generations, as the replies' usage counts them. */
export interface TokenCounts {
  /** all in front of what was generated, stored ones included. */
  readonly prompt: number;
  readonly generated: number;
  /** of the prompt, from a stored state. */
  readonly reused: number;
  /** went through the model. */
  readonly computed: number;
}

/** Where a request's time went: until the model could begin, to the end of the prompt, generating, storing its state. */
export const STAGES = ["load", "prefill", "decode", "store"] as const;
export type Stage = (typeof STAGES)[number];

/** How a stream ended: with all its events, because its client went away, or with an error as its last event. */
export type StreamEnd = "complete" | "client_gone" | "error";

/**
 * What one request did, without any of its content: gathered on its way, counted and logged at its end.
 *
 * @example
 * const end = record.begin("mamba-tiny@0123456789ab");
 * record.spend("load", 12);
 * end();
 */
export class RequestRecord {
  readonly id = `req_${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`;
  readonly started = performance.now();
  /** the name of its key. */
  key: string | undefined;
  model: string | undefined;
  /** of a reply that was a stream, when it is over. */
  stream: StreamEnd | undefined;
  snapshotBytes = 0;
  /** that were classified. */
  images = 0;
  readonly tokens: { -readonly [K in keyof TokenCounts]: number } = { prompt: 0, generated: 0, reused: 0, computed: 0 };
  /** milliseconds on the wall: a deployed Worker's clock advances only at I/O. */
  readonly milliseconds: Record<Stage, number> = { load: 0, prefill: 0, decode: 0, store: 0 };
  #running = 0;
  #whenIdle: (() => void) | undefined;

  /** Work that may go on when the reply has begun. The record is complete when all of it has ended; ending twice is ending once. */
  begin(model = this.model): () => void {
    this.model = model;
    this.#running++;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      if (--this.#running === 0) this.#whenIdle?.();
    };
  }

  count(tokens: Partial<TokenCounts>): void {
    for (const kind of Object.keys(this.tokens) as (keyof TokenCounts)[]) this.tokens[kind] += tokens[kind] ?? 0;
  }

  spend(stage: Stage, milliseconds: number): void {
    this.milliseconds[stage] += milliseconds;
  }

  async time<T>(stage: Stage, work: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    try {
      return await work();
    } finally {
      this.spend(stage, performance.now() - begin);
    }
  }

  /** Calls once, when nothing runs any more: at once, or when the last of it ends. */
  whenIdle(then: () => void): void {
    if (this.#running === 0) then();
    else {
      this.#whenIdle = () => {
        this.#whenIdle = undefined;
        then();
      };
    }
  }
}
