import {
  type Backend,
  type Executable,
  type Pass,
  SAMPLED,
  type SequenceState,
  type Span,
  type SpanOutput,
} from "../../kernels/backend.ts";
import { PenaltyWindow } from "../../worker/engine/penalty-window.ts";
import { draw } from "../../worker/engine/random.ts";
import { sample, validateSampling } from "../../worker/engine/sampling.ts";

/** What went through a queue. */
export interface Counts {
  /** passes that chose a token. */
  chosen: number;
  /** most passes on their way at once. */
  flying: number;
}

/** A backend that works off a queue as a GPU does, in its own time, and chooses tokens by itself; it computes on the one given. */
export function queued(backend: Backend, counts: Counts = { chosen: 0, flying: 0 }): Backend {
  return {
    ...backend,
    async compile(...args) {
      const inner = await backend.compile(...args);
      return queuedExecutable(inner, counts);
    },
  };
}

interface QueuedState extends SequenceState {
  readonly inner: SequenceState;
  token: number | undefined;
}

function queuedExecutable(inner: Executable, counts: Counts): Executable {
  let queue: Promise<unknown> = Promise.resolve();
  let flying = 0;
  const enqueue = <T>(work: () => T | Promise<T>): Promise<T> => {
    const done = queue.then(() => new Promise((wake) => setImmediate(wake))).then(work);
    queue = done.catch(() => {});
    done.catch(() => {});
    return done;
  };
  const compute = async (spans: readonly Span[]): Promise<readonly SpanOutput[]> => {
    const states = spans.map(({ state }) => state as QueuedState);
    const known = spans.map(
      ({ tokens, sample: _, ...span }, i): Span => ({
        ...span,
        state: states[i]!.inner,
        tokens: tokens === SAMPLED ? [states[i]!.token!] : tokens,
        ...(spans[i]!.sample && { logits: "last" }),
      }),
    );
    const outputs = await inner.run(known).read();
    return outputs.map(({ logits, logProbs }, i) => {
      const sampling = spans[i]!.sample;
      states[i]!.token = undefined;
      if (sampling === undefined) return { logits, logProbs };
      const parameters = { ...validateSampling({}, logits.length), ...sampling };
      const { token } = sample(logits, parameters, new PenaltyWindow(), draw(sampling.seed, sampling.position));
      states[i]!.token = token;
      counts.chosen++;
      return { logits: new Float32Array(0), logProbs, token };
    });
  };
  const begin = (spans: readonly Span[]): Pass => {
    let done: Promise<readonly SpanOutput[]> | undefined;
    return {
      get block() {
        return done === undefined ? 0 : inner.blocks.length;
      },
      advance() {
        counts.flying = Math.max(counts.flying, ++flying);
        done ??= enqueue(() => compute(spans));
        done.finally(() => flying--).catch(() => {});
      },
      read: () => done!,
    };
  };
  const own: Partial<Executable> = {
    samples: true,
    begin,
    run(spans) {
      const pass = begin(spans);
      pass.advance();
      return pass;
    },
    createState() {
      const state: QueuedState = {
        inner: inner.createState(),
        token: undefined,
        read: () => enqueue(() => state.inner.read()),
        write: (values) => void enqueue(() => state.inner.write(values)),
        copyFrom: (other) =>
          void enqueue(() => {
            state.inner.copyFrom((other as QueuedState).inner);
            state.token = (other as QueuedState).token;
          }),
        reset: () => void enqueue(() => state.inner.reset()),
        dispose: () => void enqueue(() => state.inner.dispose()),
      };
      return state;
    },
  };
  return new Proxy(inner, {
    get: (target, key) => {
      const value = Reflect.get(own, key) ?? (Reflect.get(target, key) as unknown);
      return typeof value === "function" && !(key in own) ? value.bind(target) : value;
    },
  });
}
