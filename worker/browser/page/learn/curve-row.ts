import { element } from "../dom.ts";
import { bytesExactly } from "../measurements.ts";
import { RANGE } from "./board.ts";
import type { Layout, Point } from "./features.ts";
import type { Answer, InContextModel, Learners, Where } from "./service.ts";
import { errorOf, faultOf, timeOf } from "./words.ts";

/** Where the curves are asked: enough for a smooth one, few enough for a request while a point is dragged. */
export const XS = Array.from({ length: 26 }, (_, i) => -RANGE.x + (i / 25) * 2 * RANGE.x);
/** An answer that takes longer leaves the last one's curve behind, which is then told apart. */
const SLOW_MS = 300;

/** What is asked now. */
export interface Question {
  readonly where: Where;
  readonly seen: readonly Point[];
  readonly layout: Layout;
}

/** A model of the board: its row in the table, and its answer to what is shown. */
export class CurveRow {
  readonly model: InContextModel;
  readonly style: string;
  readonly element: HTMLElement;
  readonly #chosen = element("input", { type: "checkbox" });
  readonly #state = element("td", {}, "–");
  readonly #error = element("td", {}, "–");
  readonly #time = element("td", {}, "–");
  readonly #learners: Learners;
  readonly #question: () => Question;
  readonly #onChange: () => void;
  answer: Answer | undefined;
  /** why there is no answer. */
  fault: string | undefined;
  /** the answer is of an earlier question, and the next one is slow. */
  stale = false;
  /** a request is on its way; `again` when what it was asked is old. */
  #busy = false;
  #again = false;

  /** @param onChange when there is another answer, or none any more */
  constructor(
    model: InContextModel,
    style: string,
    { learners, question, onChange }: { learners: Learners; question: () => Question; onChange: () => void },
  ) {
    this.model = model;
    this.style = style;
    this.#learners = learners;
    this.#question = question;
    this.#onChange = onChange;
    const name = element("label", {}, this.#chosen, swatch(style), model.name);
    this.element = element("tr", {}, element("th", { scope: "row" }, name), this.#state, this.#error, this.#time);
  }

  get chosen(): boolean {
    return this.#chosen.checked;
  }

  choose(): void {
    this.#chosen.checked = true;
  }

  onChoice(listener: () => void): void {
    this.#chosen.addEventListener("change", listener);
  }

  /** Whether it has no room for the examples that are seen: it is not asked, for it could only refuse. */
  get full(): boolean {
    return this.#question().seen.length > this.model.room;
  }

  /** Asks for what is shown now; of what changes while a request is on its way only the last is asked. */
  async renew(): Promise<void> {
    this.#again = this.#busy && this.chosen;
    if (this.#busy || !this.chosen) return;
    this.#busy = true;
    do {
      this.#again = false;
      await this.#ask();
    } while (this.#again);
    this.#busy = false;
  }

  async #ask(): Promise<void> {
    if (this.full) {
      this.#show(undefined);
      return;
    }
    const slow = setTimeout(() => {
      this.stale = true;
      this.#time.textContent = "computing …";
      this.#onChange();
    }, SLOW_MS);
    const { where, seen, layout } = this.#question();
    try {
      const answer = await this.#learners.ask(this.model, where, seen, XS, layout);
      // Late, and already of no use: what stands there is told apart until the next one comes.
      if (!(this.#again && this.stale)) this.#show(answer, seen);
    } catch (error) {
      // What was asked elsewhere is asked again here.
      if (!this.#again) this.#show(undefined, seen, faultOf(this.model, error as Error));
    } finally {
      clearTimeout(slow);
    }
  }

  #show(answer: Answer | undefined, seen: readonly Point[] = [], fault?: string): void {
    this.answer = answer;
    this.fault = fault;
    this.stale = false;
    this.#state.textContent = answer ? bytesExactly(answer.stateBytes) : "–";
    this.#error.textContent = answer ? errorOf(answer.before, seen) : "–";
    this.#time.textContent = answer ? timeOf(answer) : "–";
    this.#onChange();
  }
}

export function swatch(style: string): HTMLElement {
  return element("span", { className: `swatch ${style}` });
}
