import { type Pass, SAMPLED, type Sampling, type SequenceState, type SpanOutput } from "../../kernels/backend.ts";
import type { SamplingParameters } from "./sampling.ts";
import type { Sequence } from "./sequence.ts";

/** Tokens launched before the first of them is looked at: what a GPU and its host need to keep each other busy. */
const AHEAD = 4;
/** Tokens between two times when nothing is on its way: what a stop in between may cost to compute again. */
const STRETCH = 32;

/**
 * How a backend that chooses tokens may choose those of a sequence; undefined when they take what only the engine has: penalties, bias,
 * formats, log-probabilities, typical sampling.
 */
export function samplingOnBackend(
  sequence: Sequence,
  sampling: SamplingParameters,
  needsLogits: boolean,
): Omit<Sampling, "position"> | undefined {
  const { samples } = sequence.model.executable;
  const { temperature, topK, topP, minP, seed } = sampling;
  const plain =
    sampling.repetitionPenalty === 1 &&
    sampling.frequencyPenalty === 0 &&
    sampling.presencePenalty === 0 &&
    sampling.logitBias.size === 0 &&
    sampling.typicalP === 1;
  if (!samples || needsLogits || !plain) return undefined;
  return { temperature, topK, topP, minP, seed };
}

/**
 * Tokens that the backend chooses and goes on from by itself, the engine a few behind. What is asked for by `next` is what the engine
 * would have chosen, and after `settle` the state is the one that it would have: a copy of it, kept every `STRETCH` tokens, is fed again
 * what was taken of the tokens since.
 */
export class Ahead {
  readonly #sequence: Sequence;
  readonly #sampling: Omit<Sampling, "position">;
  readonly #flying: Pass[] = [];
  /** the state before the stretch. */
  #saved: SequenceState | undefined;
  /** tokens fed in the stretch by passes that were read. */
  #fed: number[] = [];
  #launched = 0;
  #length = 0;
  #failed = false;

  constructor(sequence: Sequence, sampling: Omit<Sampling, "position">) {
    this.#sequence = sequence;
    this.#sampling = sampling;
  }

  /**
   * Feeds a token and chooses the one after it.
   * @param token the one chosen last
   * @param left tokens that may still be wanted, this one included
   */
  async next(token: number, left: number): Promise<number> {
    const sequence = this.#sequence;
    if (this.#flying.length === 0) this.#begin(left);
    while (this.#launched < this.#length && this.#flying.length <= AHEAD) this.#launch(token);
    const [output] = await this.#read();
    this.#fed.push(token);
    sequence.consumed++;
    sequence.torn = this.#flying.length > 0;
    return output!.token!;
  }

  /**
   * Waits for what is on its way, and takes back what was not asked for. Call it at the end, whatever happened: after a failure the
   * sequence stays torn.
   */
  async settle(): Promise<void> {
    const { state, model } = this.#sequence;
    try {
      if (this.#failed || this.#flying.length === 0) return;
      while (this.#flying.length > 0) await this.#read();
      state.copyFrom(this.#saved!);
      const passes = this.#fed.map((token) => model.executable.run([{ state, tokens: [token] }]));
      for (const pass of passes) await pass.read();
      this.#sequence.torn = false;
    } finally {
      this.#saved?.dispose();
      this.#saved = undefined;
    }
  }

  async #read(): Promise<readonly SpanOutput[]> {
    try {
      return await this.#flying.shift()!.read();
    } catch (error) {
      this.#failed = true;
      throw error;
    }
  }

  #begin(left: number): void {
    const { state, model } = this.#sequence;
    this.#saved ??= model.executable.createState();
    this.#saved.copyFrom(state);
    this.#fed = [];
    this.#launched = 0;
    this.#length = Math.min(STRETCH, left);
  }

  /** @param token that the stretch begins with; the others are not known here yet */
  #launch(token: number): void {
    const { state, model, consumed } = this.#sequence;
    this.#sequence.torn = true;
    const position = consumed + this.#flying.length + 1;
    const tokens = this.#launched === 0 ? [token] : SAMPLED;
    this.#flying.push(model.executable.run([{ state, tokens, sample: { ...this.#sampling, position } }]));
    this.#launched++;
  }
}
