import { stateLayout, stateLength } from "../../../../kernels/state.ts";
import { inContext } from "../../../engine/architectures/in-context.ts";
import { element } from "../dom.ts";
import { bytesExactly } from "../measurements.ts";
import { ARCHITECTURES, type Architecture } from "./study.ts";

/** Far beyond what any of them was trained on. */
export const FAR = 1000;

/** Bytes that an architecture of the study remembers so many examples in, by the engine's own rule. */
export function stateBytes({ sizes }: Architecture, examples: number): number {
  return 4 * stateLength(stateLayout(inContext.blocks({ ...sizes }), 2 * examples));
}

/** After how many examples a state that grows is the larger one. */
export function overtakes(growing: Architecture, fixed: Architecture): number {
  const [start, each] = [stateBytes(growing, 0), stateBytes(growing, 1) - stateBytes(growing, 0)];
  return Math.max(0, Math.ceil((stateBytes(fixed, 0) - start) / each));
}

/** A row for each architecture: what it remembers now, what an example adds, what 1,000 would take. */
export class StateTable {
  readonly rows: readonly HTMLElement[];
  readonly #cells = ARCHITECTURES.map((architecture) => ({
    architecture,
    now: element("span", {}),
    bar: element("span", { className: "bar" }),
  }));

  constructor() {
    this.rows = this.#cells.map(({ architecture, now, bar }) => {
      const each = stateBytes(architecture, 1) - stateBytes(architecture, 0);
      const far = stateBytes(architecture, FAR);
      bar.classList.toggle("grows", each > 0);
      return element(
        "tr",
        {},
        element("th", { scope: "row" }, architecture.title),
        element("td", { className: "now" }, now, bar),
        element("td", {}, each === 0 ? "nothing" : bytesExactly(each)),
        element("td", {}, bytesExactly(far)),
      );
    });
  }

  /** @param most examples that there may be: how long the longest bar is */
  show(examples: number, most: number): void {
    const longest = Math.max(...ARCHITECTURES.map((architecture) => stateBytes(architecture, most)));
    for (const { architecture, now, bar } of this.#cells) {
      const count = stateBytes(architecture, examples);
      now.textContent = bytesExactly(count);
      bar.style.setProperty("--part", String(count / longest));
    }
  }
}

/** In words: where the KV cache passes Mamba's state. */
export function crossing(): string {
  const [transformer, mamba] = ["transformer", "mamba"].map((name) => ARCHITECTURES.find((a) => a.name === name));
  if (transformer === undefined || mamba === undefined) return "";
  return `The Transformer's cache is the larger one from ${overtakes(transformer, mamba)} examples on; Mamba's state is as large after ${FAR.toLocaleString("en")} as after none.`;
}
