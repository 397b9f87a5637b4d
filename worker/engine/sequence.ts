import type { SequenceState, Span, SpanOutput } from "../../kernels/backend.ts";
import { checkSpans } from "../../kernels/check.ts";
import { nextMacrotask } from "./macrotask.ts";
import type { Model } from "./model.ts";
import { PenaltyWindow } from "./penalty-window.ts";

/** Multiply-adds between two macrotasks: long enough to cost nothing, short enough that an abort or another request gets in. */
const PIECE_MULTIPLY_ADDS = 2_000_000_000;

/** The same while weights arrive: between two pieces the next shard gets from being read to being hashed, on other threads. */
const LOADING_MULTIPLY_ADDS = 250_000_000;

export interface AdvanceOptions {
  /** Stops between pieces; the tokens fed so far stay consumed. */
  readonly signal?: AbortSignal | undefined;
  /** Waits for further blocks of a model that is still loading. */
  readonly more?: (() => Promise<void>) | undefined;
  /** tokens fed so far, of all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface FeedOptions extends AdvanceOptions {
  /** log p of a target for each token, as in Span.targets. */
  readonly targets?: ArrayLike<number>;
  /** keep the last token's logits. */
  readonly logits?: boolean;
}

export interface FeedResult {
  /** (vocab) after the last token; empty unless asked for. */
  readonly logits: Float32Array;
  /** (tokens) of the targets; empty without. */
  readonly logProbs: Float32Array;
}

/** Positions first … end − 1 of what is fed. `last`: they are the end of it. */
type SpanOf = (first: number, end: number, last: boolean) => Omit<Span, "state">;

/**
 * One sequence of tokens, or of vectors, and what the model remembers of it: a state of fixed size, whatever its length. (With attention
 * it grows up to the model's position limit.)
 * It also carries what generation needs to go on exactly where it stopped.
 */
export class Sequence {
  readonly model: Model;
  readonly state: SequenceState;
  /** tokens that the state has seen. */
  consumed = 0;
  /** the last token, emitted or given but not yet fed; empty in a fresh sequence. */
  pending: number[] = [];
  window = new PenaltyWindow();
  /** of the last generation: a continuation without a seed of its own uses it. */
  seed: number | undefined;
  /** bytes of an unfinished UTF-8 character. */
  utf8: Uint8Array = new Uint8Array(0);
  /** text held back because it could begin a stop string. */
  held = "";
  /** passes over the state are on their way, or failed. */
  torn = false;
  #disposed = false;

  constructor(model: Model) {
    this.model = model;
    this.state = model.executable.createState();
  }

  /** Tokens in all, pending ones included. */
  get length(): number {
    return this.consumed + this.pending.length;
  }

  /**
   * Advances the state by tokens, in pieces with a macrotask between them. Any cut gives the same result.
   * @throws the signal's reason when aborted, PackageError when the model cannot be loaded, KernelError on a token out of range
   */
  async feed(tokens: ArrayLike<number>, options: FeedOptions = {}): Promise<FeedResult> {
    const { targets } = options;
    const logProbs = new Float32Array(targets === undefined ? 0 : tokens.length);
    let logits = new Float32Array(0);
    const spanOf: SpanOf = (first, end, last) => ({
      tokens: Array.prototype.slice.call(tokens, first, end),
      logits: options.logits === true && last ? "last" : "none",
      ...(targets && { targets: Array.prototype.slice.call(targets, first, end) }),
    });
    await this.#advance(tokens.length, spanOf, options, (output, first) => {
      logProbs.set(output.logProbs, first < logProbs.length ? first : 0);
      logits = output.logits as Float32Array<ArrayBuffer>;
    });
    return { logits, logProbs };
  }

  /**
   * The same for a model that is fed vectors: (count, inputs) finite numbers, row-major.
   * @returns the head's outputs after every vector, (count, outputs)
   * @throws KernelError also when the sequence would become longer than the model's attention holds
   */
  async feedVectors(vectors: Float32Array, options: AdvanceOptions = {}): Promise<Float32Array> {
    const { inputs, outputs } = this.model;
    const count = vectors.length / inputs;
    const all = new Float32Array(count * outputs);
    const spanOf: SpanOf = (first, end) => ({
      tokens: [],
      vectors: vectors.slice(first * inputs, end * inputs),
      logits: "all",
    });
    await this.#advance(count, spanOf, options, (output, first) => all.set(output.logits, first * outputs));
    return all;
  }

  /** Goes through `count` positions, a piece of them a pass. */
  async #advance(
    count: number,
    spanOf: SpanOf,
    options: AdvanceOptions,
    onOutput: (output: SpanOutput, first: number) => void,
  ): Promise<void> {
    const { model } = this;
    const { executable } = model;
    const piece = Math.max(
      1,
      Math.min(executable.maxTokens, Math.floor(PIECE_MULTIPLY_ADDS / model.multiplyAddsPerToken)),
    );
    for (let done = 0; done < count; ) {
      options.signal?.throwIfAborted();
      this.checkUsable();
      const end = Math.min(count, done + piece);
      const span: Span = { state: this.state, ...spanOf(done, end, end === count) };
      checkSpans(executable, [span]);
      this.torn = true;
      const output = model.ready ? await model.batcher.run(span) : await this.#runWhileLoading(span, options.more);
      this.torn = false;
      this.consumed += end - done;
      onOutput(output, done);
      done = end;
      options.onProgress?.(done, count);
      if (done < count) await nextMacrotask();
    }
  }

  /** Runs the blocks as they arrive. Only the request that leads the load does so, hence alone. */
  async #runWhileLoading(span: Span, more: AdvanceOptions["more"]): Promise<SpanOutput> {
    const { executable, blocks, manifest } = this.model;
    const pass = executable.begin([span]);
    const perBlock = (this.model.multiplyAddsPerToken * span.tokens.length) / blocks.length;
    const turn = Math.ceil(LOADING_MULTIPLY_ADDS / perBlock);
    for (;;) {
      while (pass.block < executable.blocksLoaded) {
        pass.advance(Math.min(pass.block + turn, executable.blocksLoaded));
        await nextMacrotask();
      }
      if (pass.block === blocks.length) break;
      if (more === undefined) throw new Error(`${manifest.id} is not loaded: wait for its weights first`);
      await more();
    }
    const [output] = await pass.read();
    return output!;
  }

  /** A second sequence with the same past. Neither changes the other. */
  fork(): Sequence {
    this.checkUsable();
    const copy = new Sequence(this.model);
    copy.state.copyFrom(this.state);
    copy.consumed = this.consumed;
    copy.pending = [...this.pending];
    copy.window = this.window.fork();
    copy.seed = this.seed;
    copy.utf8 = this.utf8;
    copy.held = this.held;
    return copy;
  }

  /** Frees the state's memory. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.state.dispose();
  }

  /** @throws Error when it was disposed, or its state is not what `consumed` says */
  checkUsable(): void {
    if (this.#disposed) throw new Error("this sequence was disposed");
    if (this.torn)
      throw new Error(
        "a pass over this sequence did not finish: wait for its generation to end, or restore it from a snapshot",
      );
  }
}
