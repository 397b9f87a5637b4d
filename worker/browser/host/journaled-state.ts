import { KernelError, SAMPLED, type SequenceState, type Span, type SpanOutput } from "../../../kernels/backend.ts";
import type { FailoverExecutable } from "./failover.ts";

/** Tokens between two checkpoints: what a failure costs to compute again, against a read of the state. */
const CHECKPOINT_TOKENS = 256;

/** base in canonical order; undefined is a fresh sequence. */
export interface Past {
  readonly base: Float32Array | undefined;
  readonly tokens: readonly number[];
}

/** A state on a backend that may be lost, and what is needed to make it anew elsewhere. */
export class JournaledState implements SequenceState {
  readonly #owner: FailoverExecutable;
  #inner: SequenceState | undefined;
  /** the last checkpoint in canonical order; undefined is a fresh sequence. */
  base: Float32Array | undefined;
  /** fed since the checkpoint. */
  tokens: number[] = [];
  /** passes over it that were begun and not read: its inner state is then ahead of what is noted here. */
  flying = 0;
  /** the token that the backend chose last, of passes that were read. */
  chosen: number | undefined;

  constructor(owner: FailoverExecutable, inner: SequenceState | undefined) {
    this.#owner = owner;
    this.#inner = inner;
  }

  /** @throws Error when its memory could not be had */
  get inner(): SequenceState {
    if (this.#inner === undefined) throw new Error("the state was lost with its device");
    return this.#inner;
  }

  get positions(): number {
    return this.#inner?.positions ?? 0;
  }

  moveTo(inner: SequenceState): void {
    this.#inner = inner;
  }

  /** Notes what went through the model, and takes a checkpoint when it is time: of vectors, which are not noted, at once. */
  async fed({ tokens, vectors }: Span, { token }: SpanOutput): Promise<void> {
    const before = this.chosen;
    this.chosen = token;
    if (this.#owner.failedOver) return;
    if (tokens === SAMPLED) this.tokens.push(before!);
    else for (let i = 0; i < tokens.length; i++) this.tokens.push(tokens[i]!);
    if (vectors === undefined && (this.tokens.length < CHECKPOINT_TOKENS || this.flying > 0)) return;
    try {
      this.#checkpoint(await this.read());
    } catch (error) {
      // Without it the journal only grows: what failed is told by the next pass. Vectors are in no journal.
      if (vectors !== undefined) throw error;
    }
  }

  /** What it has seen, also when no backend holds it any more: a state, and the tokens fed since. */
  async past(): Promise<Past> {
    if (this.#owner.recovered) return { base: await this.inner.read(), tokens: [] };
    return { base: this.base, tokens: this.tokens };
  }

  read(): Promise<Float32Array> {
    return this.#owner.settle(
      () => this.inner.read(),
      () => this.inner.read(),
    );
  }

  write(values: Float32Array): void {
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw new KernelError(`value ${bad} of the state is ${values[bad]}: a state must be finite`);
    this.#owner.attempt(() => this.inner.write(values));
    this.#checkpoint(values.slice());
  }

  copyFrom(other: SequenceState): void {
    const from = other as JournaledState;
    this.#owner.attempt(() => this.inner.copyFrom(from.inner));
    this.base = from.base;
    this.tokens = [...from.tokens];
    this.chosen = from.chosen;
  }

  reset(): void {
    this.#owner.attempt(() => this.inner.reset());
    this.#checkpoint(undefined);
  }

  dispose(): void {
    this.#owner.forget(this);
    this.#owner.attempt(() => this.#inner?.dispose());
  }

  #checkpoint(values: Float32Array | undefined): void {
    this.base = values;
    this.tokens = [];
  }
}
