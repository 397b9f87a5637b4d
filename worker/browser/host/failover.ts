import {
  type Backend,
  type CompileOptions,
  type Executable,
  type ImageRunner,
  KernelError,
  type Pass,
  SAMPLED,
  type SequenceState,
  type Span,
  type SpanOutput,
} from "../../../kernels/backend.ts";
import { nextMacrotask } from "../../engine/macrotask.ts";
import { PenaltyWindow } from "../../engine/penalty-window.ts";
import { draw } from "../../engine/random.ts";
import { sample, validateSampling } from "../../engine/sampling.ts";
import { ForwardingExecutable } from "./forwarding-executable.ts";
import { JournaledState } from "./journaled-state.ts";
import { lastingImages } from "./lasting-images.ts";

export interface FailoverOptions {
  /** The backend that takes over. */
  readonly fallback: () => Promise<Backend>;
  /** Loads all weights into its executable. */
  readonly reload: (executable: Executable) => Promise<void>;
  /** Told once, after the fallback has taken over. */
  readonly onFailover: (cause: unknown) => void;
}

/** Tokens a pass of the replay: long enough to be fast, short enough that messages get in. */
const REPLAY_TOKENS = 32;

/**
 * A backend that may be lost at any moment (a GPU's device, its memory, a pipeline), with one behind it that takes over in the midst
 * of a generation. Every state keeps its last checkpoint in this memory and the tokens fed since; after a failure they are fed to the
 * fallback, and the pass that failed is run again there. Nothing above notices: the sequence, its draws and its text go on.
 */
export function failoverBackend(primary: Backend, options: FailoverOptions): Backend {
  return {
    name: primary.name,
    plan: (...args) => primary.plan(...args),
    async compile(blocks, tensors, compileOptions) {
      const executable = await primary.compile(blocks, tensors, compileOptions);
      const { maxTokens, maxSequences } = executable;
      const compileFallback = async (): Promise<Executable> => {
        const same: CompileOptions = { ...compileOptions, ...(maxTokens > 0 && { maxTokens, maxSequences }) };
        return (await options.fallback()).compile(blocks, tensors, same);
      };
      return new FailoverExecutable(executable, compileFallback, options);
    },
  };
}

export class FailoverExecutable extends ForwardingExecutable implements Executable {
  readonly images?: ImageRunner;
  readonly #compileFallback: () => Promise<Executable>;
  readonly #options: FailoverOptions;
  readonly #states = new Set<JournaledState>();
  #failure: { cause: unknown } | undefined;
  #recovery: Promise<void> | undefined;
  #recovered = false;

  constructor(primary: Executable, compileFallback: () => Promise<Executable>, options: FailoverOptions) {
    super(primary);
    this.#compileFallback = compileFallback;
    this.#options = options;
    const images = lastingImages({
      active: () => this.active,
      attempt: (call) => this.attempt(call),
      settle: (read, again) => this.settle(read, again),
    });
    if (images !== undefined) this.images = images;
  }

  /** Whether the fallback has taken over: states then need no journal any more. */
  get failedOver(): boolean {
    return this.#recovery !== undefined;
  }

  /** Whether it did so with every state. */
  get recovered(): boolean {
    return this.#recovered;
  }

  createState(): SequenceState {
    const state = new JournaledState(
      this,
      this.attempt(() => this.active.createState()),
    );
    this.#states.add(state);
    return state;
  }

  forget(state: JournaledState): void {
    this.#states.delete(state);
  }

  /** Runs a call on the primary that may fail, and remembers the failure for the next asynchronous call to mend. */
  attempt<T>(call: () => T): T | undefined {
    if (this.#failure !== undefined && this.#recovery === undefined) return undefined;
    try {
      return call();
    } catch (cause) {
      // The caller's mistake would be one on the fallback too; and the fallback has nothing behind it.
      if (cause instanceof KernelError || this.failedOver) throw cause;
      this.#failure ??= { cause };
      return undefined;
    }
  }

  /** Awaits a read; when the primary has failed or fails in it, the fallback takes over and `again` is its turn. */
  async settle<T>(read: (() => Promise<T>) | undefined, again: () => Promise<T>): Promise<T> {
    const before = this.active;
    if (read !== undefined && this.#failure === undefined) {
      try {
        return await read();
      } catch (cause) {
        if (this.failedOver && this.active === before) throw cause;
        this.#failure ??= { cause };
      }
    }
    if (this.failedOver && read !== undefined && before !== this.active) return again();
    this.#recovery ??= this.#recover();
    await this.#recovery;
    return again();
  }

  begin(spans: readonly Span[]): Pass {
    const on = this.active;
    // Who ran ahead on the primary may not have heard yet that the fallback chooses no tokens: they are then chosen here, when read.
    const lacking = this.failedOver && !on.samples && spans.some(({ sample }) => sample !== undefined);
    const inner = lacking ? undefined : this.attempt(() => on.begin(onActive(spans)));
    const states = spans.map(({ state }) => state as JournaledState);
    for (const state of states) state.flying++;
    let block = 0;
    return {
      get block() {
        return inner?.block ?? block;
      },
      advance: (end = this.blocks.length) => {
        if (this.attempt(() => inner?.advance(end)) === undefined) block = end;
      },
      read: async () => {
        const here = inner !== undefined && on === this.active;
        try {
          const outputs = await this.settle(here ? () => inner.read() : undefined, () => this.#again(spans));
          for (const state of states) state.flying--;
          for (const [i, span] of spans.entries()) await states[i]!.fed(span, outputs[i]!);
          return outputs;
        } catch (error) {
          for (const state of states) state.flying--;
          throw error;
        }
      },
    };
  }

  run(spans: readonly Span[]): Pass {
    const pass = this.begin(spans);
    pass.advance();
    return pass;
  }

  dispose(): void {
    this.active.dispose();
  }

  /** The same on the fallback, with the engine's choice of tokens where it makes none. */
  async #again(spans: readonly Span[]): Promise<readonly SpanOutput[]> {
    const known = onActive(spans).map((span, i): Span => {
      const { chosen } = spans[i]!.state as JournaledState;
      const tokens = span.tokens === SAMPLED ? [chosen!] : span.tokens;
      const { sample: _, ...rest } = span;
      return { ...rest, tokens, ...(span.sample && { logits: "last" }) };
    });
    const outputs = await this.active.run(known).read();
    return outputs.map((output, i) => {
      const { sample: sampling } = spans[i]!;
      if (sampling === undefined) return output;
      const { logits } = output;
      const parameters = { ...validateSampling({}, logits.length), ...sampling };
      const { token } = sample(logits, parameters, new PenaltyWindow(), draw(sampling.seed, sampling.position));
      return { ...output, token };
    });
  }

  async #recover(): Promise<void> {
    const lost = this.active;
    const executable = await this.#compileFallback();
    try {
      await this.#options.reload(executable);
      for (const state of this.#states) await replay(executable, state);
    } catch (error) {
      executable.dispose();
      throw error;
    }
    this.active = executable;
    this.#recovered = true;
    try {
      lost.dispose();
    } catch {
      // Of a device that is gone nothing is left to free.
    }
    this.#options.onFailover(this.#failure?.cause);
    this.#failure = undefined;
  }
}

function onActive(spans: readonly Span[]): Span[] {
  return spans.map((span) => ({ ...span, state: (span.state as JournaledState).inner }));
}

async function replay(executable: Executable, state: JournaledState): Promise<void> {
  const fresh = executable.createState();
  if (state.base !== undefined) fresh.write(state.base);
  for (let done = 0; done < state.tokens.length; done += REPLAY_TOKENS) {
    await executable.run([{ state: fresh, tokens: state.tokens.slice(done, done + REPLAY_TOKENS) }]).read();
    await nextMacrotask();
  }
  state.moveTo(fresh);
}
