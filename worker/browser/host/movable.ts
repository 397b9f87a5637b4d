import type { Backend, Executable, ImageRunner, Pass, SequenceState, Span } from "../../../kernels/backend.ts";
import { ForwardingExecutable } from "./forwarding-executable.ts";
import { JournaledState, type Past } from "./journaled-state.ts";
import { lastingImages } from "./lasting-images.ts";

/** A backend whose executables can be exchanged for others' while sequences live: WASM computes until WebGPU is ready. */
export function movableBackend(backend: Backend): Backend {
  return {
    name: backend.name,
    plan: (...args) => backend.plan(...args),
    compile: async (...args) => new MovableExecutable(await backend.compile(...args)),
  };
}

export class MovableExecutable extends ForwardingExecutable implements Executable {
  /** Passes of images hold nothing up: one that is under way when the model moves is computed again. */
  readonly images?: ImageRunner;
  readonly #states = new Set<MovableState>();
  /** passes that were not read to their end: nothing moves below them. */
  #inFlight = 0;
  #disposed = false;
  #wanted: { readonly next: Executable; resolve(): void; reject(error: unknown): void } | undefined;

  constructor(first: Executable) {
    super(first);
    const images = lastingImages({
      active: () => this.active,
      attempt: (call) => call(),
      settle: async (read, again) => {
        const before = this.active;
        try {
          return await (read ?? again)();
        } catch (error) {
          if (this.active === before) throw error;
          return again();
        }
      },
    });
    if (images !== undefined) this.images = images;
  }

  createState(): SequenceState {
    const state = new MovableState(this.active.createState(), (gone) => this.#states.delete(gone));
    this.#states.add(state);
    return state;
  }

  begin(spans: readonly Span[]): Pass {
    const states = spans.map(({ state }) => state as MovableState);
    const pass = this.active.begin(spans.map((span, i) => ({ ...span, state: states[i]!.inner })));
    this.#inFlight++;
    return {
      get block() {
        return pass.block;
      },
      advance: (end) => pass.advance(end),
      read: async () => {
        try {
          return await pass.read();
        } finally {
          for (const state of states) state.version++;
          this.#inFlight--;
          await this.#move();
        }
      },
    };
  }

  run(spans: readonly Span[]): Pass {
    const pass = this.begin(spans);
    pass.advance();
    return pass;
  }

  /**
   * From now on, or from the end of the passes under way, everything computes on `next`, which then belongs to this executable. What was
   * computed on before is disposed of.
   * @throws Error when a state cannot be had there, or this was disposed of: all stays as it was, and `next` the caller's
   */
  async moveTo(next: Executable): Promise<void> {
    const moved = new Promise<void>((resolve, reject) => {
      this.#wanted = { next, resolve, reject };
    });
    await this.#move();
    return moved;
  }

  dispose(): void {
    this.#disposed = true;
    this.#wanted?.reject(new Error("the model was disposed of"));
    this.#wanted = undefined;
    this.active.dispose();
  }

  async #move(): Promise<void> {
    const wanted = this.#wanted;
    const read = new Map<MovableState, { version: number; values: Float32Array }>();
    for (;;) {
      // A pass that began meanwhile comes here at its end.
      if (wanted === undefined || this.#wanted !== wanted || this.#inFlight > 0) return;
      const stale = [...this.#states].filter((state) => read.get(state)?.version !== state.version);
      if (stale.length === 0) break;
      for (const state of stale) {
        const { version } = state;
        read.set(state, { version, values: await state.inner.read() });
      }
    }
    // Nothing is awaited from here on: who uses a state finds all of them on one side or on the other.
    this.#wanted = undefined;
    const fresh = new Map<MovableState, SequenceState>();
    try {
      if (this.#disposed) throw new Error("the model was disposed of");
      for (const state of this.#states) {
        const there = wanted.next.createState();
        fresh.set(state, there);
        there.write(read.get(state)!.values);
      }
    } catch (error) {
      for (const there of fresh.values()) there.dispose();
      wanted.reject(error);
      return;
    }
    const before = this.active;
    this.active = wanted.next;
    for (const [state, there] of fresh) state.inner = there;
    before.dispose();
    wanted.resolve();
  }
}

/** A state on whatever its executable computes on. */
export class MovableState implements SequenceState {
  inner: SequenceState;
  /** of its values, so that those read before are known to be old. */
  version = 0;
  readonly #forget: (state: MovableState) => void;

  constructor(inner: SequenceState, forget: (state: MovableState) => void) {
    this.inner = inner;
    this.#forget = forget;
  }

  get positions(): number {
    return this.inner.positions ?? 0;
  }

  async past(): Promise<Past> {
    return this.inner instanceof JournaledState ? this.inner.past() : { base: await this.inner.read(), tokens: [] };
  }

  read(): Promise<Float32Array> {
    return this.inner.read();
  }

  write(values: Float32Array): void {
    this.inner.write(values);
    this.version++;
  }

  copyFrom(other: SequenceState): void {
    this.inner.copyFrom((other as MovableState).inner);
    this.version++;
  }

  reset(): void {
    this.inner.reset();
    this.version++;
  }

  dispose(): void {
    this.#forget(this);
    this.inner.dispose();
  }
}
