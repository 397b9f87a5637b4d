import type { Backend, Executable, Pass, SequenceState } from "../../kernels/backend.ts";

/** Where a device is lost: as a pass is begun, as its results are read, or as a state is. */
export type Loss = "begin" | "read" | "state";

/** A backend that is lost like a GPU's device after some passes: from then on everything throws. */
export function mortal(wasm: Backend, passes: number, loss: Loss): Backend {
  let left = passes;
  const gone = (): never => {
    throw new Error("device lost");
  };
  const alive = (kind: Loss): void => {
    if (left < 0 || (left === 0 && kind === loss)) {
      left = -1;
      gone();
    }
  };
  return {
    ...wasm,
    async compile(...args) {
      const inner = await wasm.compile(...args);
      const dying: Partial<Executable> = {
        createState() {
          alive("begin");
          const state = inner.createState();
          return {
            inner: state,
            read: async () => {
              alive("state");
              return state.read();
            },
            write: (values: Float32Array) => state.write(values),
            copyFrom: (other: SequenceState) => state.copyFrom((other as never as { inner: typeof state }).inner),
            reset: () => state.reset(),
            dispose: () => state.dispose(),
          } as SequenceState;
        },
        run(spans) {
          const pass = this.begin!(spans);
          pass.advance();
          return pass;
        },
        begin(spans) {
          alive("begin");
          const pass = inner.begin(
            spans.map((span) => ({ ...span, state: (span.state as never as { inner: never }).inner })),
          );
          return {
            get block() {
              return pass.block;
            },
            advance: (end) => pass.advance(end),
            async read() {
              alive("read");
              left--;
              return pass.read();
            },
          } satisfies Pass;
        },
      };
      return new Proxy(inner, {
        get: (target, key) => {
          const own = Reflect.get(dying, key) as unknown;
          const value = own ?? (Reflect.get(target, key) as unknown);
          return typeof value === "function" ? value.bind(own === undefined ? target : dying) : value;
        },
      });
    },
  };
}
