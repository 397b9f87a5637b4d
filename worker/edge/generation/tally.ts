import type { Sequence } from "../../engine/sequence.ts";
import type { RequestRecord, TokenCounts } from "../ops/request-record.ts";

interface Running {
  readonly sequence: Sequence;
  readonly promptTokens: number;
  /** tokens that its state had seen when it began. */
  readonly consumed: number;
  readonly stage: "prefill" | "decode";
  /** when the stage began, on the clock of performance.now(). */
  readonly since: number;
}

/**
 * What a request's generations have come to, also in the middle of one: for the usage so far, and for the metrics and the log, which
 * count what was generated when a client goes away too.
 *
 * @example
 * const tally = new Tally(record);
 * tally.begin(sequence, sequence.length + prompt.length);
 * for await (const piece of generate(sequence, options)) show(piece, tally.tokens.generated);
 * tally.end();
 */
export class Tally {
  readonly #record: RequestRecord | undefined;
  readonly #over = { prompt: 0, generated: 0, reused: 0, computed: 0 };
  #running: Running | undefined;

  constructor(record: RequestRecord | undefined) {
    this.#record = record;
  }

  count(tokens: Partial<TokenCounts>): void {
    for (const kind of Object.keys(this.#over) as (keyof TokenCounts)[]) this.#over[kind] += tokens[kind] ?? 0;
    this.#record?.count(tokens);
  }

  /**
   * A generation that begins now.
   * @param promptTokens tokens of the sequence in front of the first one that is generated
   * @param stage what its time counts as; "prefill" until `prefilled`
   */
  begin(sequence: Sequence, promptTokens: number, stage: Running["stage"] = "decode"): void {
    this.end();
    this.#running = { sequence, promptTokens, consumed: sequence.consumed, stage, since: performance.now() };
  }

  /** The prompt of the generation under way has gone through the model. */
  prefilled(): void {
    const running = this.#running;
    if (running?.stage !== "prefill") return;
    this.#spend(running);
    this.#running = { ...running, stage: "decode", since: performance.now() };
  }

  /** The generation under way is over, or is left where it is. Before its sequence is fed anything else; safe to call twice. */
  end(): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    this.#spend(running);
    this.count(soFar(running));
  }

  /** of all, the generation under way included. */
  get tokens(): TokenCounts {
    const { generated, computed } = this.#running ? soFar(this.#running) : { generated: 0, computed: 0 };
    const over = this.#over;
    return { ...over, generated: over.generated + generated, computed: over.computed + computed };
  }

  #spend({ stage, since }: Running): void {
    this.#record?.spend(stage, performance.now() - since);
  }
}

/** Where the sequence has come to says it, wherever the generation was left. */
function soFar({ sequence, promptTokens, consumed }: Running): Pick<TokenCounts, "generated" | "computed"> {
  return { generated: Math.max(0, sequence.length - promptTokens), computed: sequence.consumed - consumed };
}
