/**
 * Ends a generation whose client goes away so that what came of it can be kept: at once while its prompt is read, later after the token in
 * work.
 *
 * @example
 * const cut = new CutOff(request.signal);
 * generate(sequence, { prompt, maxTokens, sampling, signal: cut.signal, enough: cut.enough });
 */
export class CutOff {
  readonly #reading = new AbortController();
  #begun = false;
  #gone = false;

  /** @param client of the request: aborted when its client goes away, where the runtime notices that */
  constructor(client: AbortSignal) {
    const leave = (): void => this.leave(client.reason);
    if (client.aborted) leave();
    else client.addEventListener("abort", leave, { once: true });
  }

  /** Aborted when the client goes away before there is a token. */
  get signal(): AbortSignal {
    return this.#reading.signal;
  }

  /** The client is gone. */
  leave(reason?: unknown): void {
    this.#gone = true;
    if (!this.#begun) this.#reading.abort(reason);
  }

  /** Asked after each token: whether it is the last. */
  readonly enough = (): boolean => {
    this.#begun = true;
    return this.#gone;
  };
}
