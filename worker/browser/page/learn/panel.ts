import { byId, element } from "../dom.ts";
import { bytesExactly } from "../measurements.ts";
import { Board, RANGE } from "./board.ts";
import { noisyLine } from "./examples.ts";
import { features, type Layout, leastSquares, newPoint, type Point } from "./features.ts";
import { showResults } from "./results.ts";
import { isRuleModel, showRule } from "./rule.ts";
import { type Answer, type InContextModel, inContextModels, Learners, type Where } from "./service.ts";
import { crossing, StateTable } from "./states.ts";
import { beyondOf, errorOf, faultOf, timeOf, training } from "./words.ts";

/** Where the curves are asked: enough for a smooth one, few enough for a request while a point is dragged. */
const XS = Array.from({ length: 26 }, (_, i) => -RANGE.x + (i / 25) * 2 * RANGE.x);
/** Between two examples as they are played. */
const PLAY_MS = 600;
const STYLES = 6;

interface Shown {
  readonly model: InContextModel;
  readonly style: string;
  readonly chosen: HTMLInputElement;
  readonly state: HTMLElement;
  readonly error: HTMLElement;
  readonly time: HTMLElement;
  answer?: Answer;
  /** why there is no answer. */
  fault?: string;
  /** a request is on its way; `again` when what it was asked is old. */
  busy: boolean;
  again: boolean;
}

let opened = false;

/** When the panel is looked at: sets it up the first time. */
export async function openLearnPanel(): Promise<void> {
  if (opened) return;
  opened = true;
  try {
    await learnPanel();
  } catch (error) {
    opened = false;
    byId("learn-none").hidden = false;
    byId("learn-none").textContent = `The list of models cannot be read: ${(error as Error).message}`;
  }
}

/** Draw points and watch what models make of them, beside least squares. */
async function learnPanel(): Promise<void> {
  showResults();
  const installed = await inContextModels();
  showRule(installed.filter(isRuleModel));
  const models = installed.filter((model) => !isRuleModel(model));
  byId("learn-none").hidden = models.length > 0;
  byId("learn").hidden = models.length === 0;
  if (models.length === 0) return;

  const points: Point[] = [];
  const range = byId<HTMLInputElement>("learn-seen");
  const place = byId<HTMLSelectElement>("learn-where");
  const where = (): Where => place.value as Where;
  const arranged = byId<HTMLSelectElement>("learn-layout");
  const layout = (): Layout => arranged.value as Layout;
  const width = Math.max(...models.map(({ inputs }) => inputs));
  const learners = new Learners();
  let playing: ReturnType<typeof setInterval> | undefined;
  const board = new Board({
    onAdd: ({ x, y }) => change(() => points.push(newPoint(x, y))),
    onMove: (index, at) => change(() => points.splice(index, 1, { ...points[index]!, ...at }), false),
    onRemove: (index) => change(() => points.splice(index, 1)),
  });
  byId("learn-board").replaceChildren(board.element);
  const states = new StateTable();
  byId("learn-states").replaceChildren(...states.rows);
  byId("learn-crossing").textContent = crossing();
  byId("learn-training").textContent = training(width);
  const shown = models.map((model, i) => row(model, `m${i % STYLES}`));
  const linear = shown.filter(({ model }) => /linear|regression/i.test(model.name));
  for (const each of linear.length > 0 ? linear : shown) each.chosen.checked = true;
  for (const { chosen } of shown) chosen.addEventListener("change", update);
  const squares = element("td", { id: "learn-squares-error" });
  byId("learn-rows").replaceChildren(
    element(
      "tr",
      {},
      element("th", { scope: "row" }, swatch("squares"), "least squares"),
      element("td", {}, "–"),
      squares,
      element("td", {}, "–"),
    ),
    ...shown.map(({ model, style, chosen, state, error, time }) => {
      const name = element("label", {}, chosen, swatch(style), model.name);
      return element("tr", {}, element("th", { scope: "row" }, name), state, error, time);
    }),
  );
  range.addEventListener("input", () => {
    stop();
    update();
  });
  place.addEventListener("change", () => {
    update();
    learners.keepOnly(where());
  });
  arranged.addEventListener("change", anotherLine);
  window.addEventListener("pagehide", () => learners.leave());
  byId("learn-line").addEventListener("click", anotherLine);
  byId("learn-add").addEventListener("click", () => {
    change(() => points.push(newPoint(0, 0)));
    board.focus(points.length - 1);
  });
  byId("learn-last").addEventListener("click", () => change(() => points.pop()));
  byId("learn-clear").addEventListener("click", () => change(() => points.splice(0)));
  byId("learn-play").addEventListener("click", play);
  anotherLine();

  function anotherLine(): void {
    change(() => points.splice(0, points.length, ...noisyLine(layout())));
  }

  /** @param all whether all examples count again: not while one is only moved */
  function change(work: () => unknown, all = true): void {
    work();
    range.max = String(points.length);
    if (all) {
      stop();
      range.value = range.max;
    }
    update();
  }

  function play(): void {
    stop();
    range.value = "0";
    update();
    playing = setInterval(() => {
      range.value = String(range.valueAsNumber + 1);
      if (range.valueAsNumber >= points.length) stop();
      update();
    }, PLAY_MS);
  }

  function stop(): void {
    clearInterval(playing);
  }

  function update(): void {
    const seen = points.slice(0, range.valueAsNumber);
    byId("learn-seen-label").textContent = `Examples seen: ${seen.length} of ${points.length}`;
    board.drawPoints(points, seen.length);
    states.show(seen.length, points.length);
    const rows = seen.map(({ x, noise }) => features(x, width, layout(), noise));
    squares.textContent = errorOf(
      rows.map((row, i) => fitted(rows.slice(0, i), seen)(row)),
      seen,
    );
    draw();
    for (const each of shown) void renew(each);
  }

  /** Asks for what is shown now; of what changes while a request is on its way only the last is asked. */
  async function renew(each: Shown): Promise<void> {
    each.again = each.busy && each.chosen.checked;
    if (each.busy || !each.chosen.checked) return;
    each.busy = true;
    do {
      each.again = false;
      try {
        const seen = points.slice(0, range.valueAsNumber);
        each.answer = await learners.ask(each.model, where(), seen, XS, layout());
        each.state.textContent = bytesExactly(each.answer.stateBytes);
        each.error.textContent = errorOf(each.answer.before, seen);
        each.time.textContent = timeOf(each.answer);
        delete each.fault;
        draw();
      } catch (error) {
        // What was asked elsewhere is asked again here.
        if (each.again) continue;
        delete each.answer;
        for (const cell of [each.state, each.error, each.time]) cell.textContent = "–";
        each.fault = faultOf(each.model, error as Error);
        draw();
      }
    } while (each.again);
    each.busy = false;
  }

  function draw(): void {
    const faults = shown.flatMap(({ chosen, fault }) => (chosen.checked && fault !== undefined ? [fault] : []));
    byId("learn-status").textContent = faults.join(" ");
    const seen = points.slice(0, range.valueAsNumber);
    const asked = shown.flatMap(({ chosen, model }) => (chosen.checked ? [model] : []));
    byId("learn-beyond").textContent = beyondOf(asked, seen.length);
    const rows = seen.map(({ x, noise }) => features(x, width, layout(), noise));
    const line = fitted(rows, seen);
    board.drawCurves([
      { style: "squares", points: XS.map((x) => [x, line(features(x, width, layout()))]) },
      ...shown.flatMap(({ chosen, style, answer }) =>
        chosen.checked && answer ? [{ style, points: XS.map((x, i) => [x, answer.predictions[i]!] as const) }] : [],
      ),
    ]);
  }
}

function row(model: InContextModel, style: string): Shown {
  return {
    model,
    style,
    chosen: element("input", { type: "checkbox" }),
    state: element("td", {}, "–"),
    error: element("td", {}, "–"),
    time: element("td", {}, "–"),
    busy: false,
    again: false,
  };
}

/** Least squares of the first examples. */
function fitted(rows: readonly number[][], seen: readonly Point[]): (row: readonly number[]) => number {
  return leastSquares(
    rows,
    seen.slice(0, rows.length).map(({ y }) => y),
  );
}

function swatch(style: string): HTMLElement {
  return element("span", { className: `swatch ${style}` });
}
