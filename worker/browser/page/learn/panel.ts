import { onKey } from "../access.ts";
import { byId, element } from "../dom.ts";
import { Board } from "./board.ts";
import { CurveRow, swatch, XS } from "./curve-row.ts";
import { noisyLine, onTheLine } from "./examples.ts";
import { features, type Layout, leastSquares, newPoint, type Point } from "./features.ts";
import { showResults } from "./results.ts";
import { isRuleModel, showRule } from "./rule.ts";
import { inContextModels, Learners, type Where } from "./service.ts";
import { crossing, StateTable } from "./states.ts";
import { beyondOf, errorOf, roomOf, training } from "./words.ts";

/** Between two examples as they are played. */
const PLAY_MS = 600;
const STYLES = 6;

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
  const asked = {
    learners,
    question: () => ({ where: where(), seen: points.slice(0, range.valueAsNumber), layout: layout() }),
    onChange: draw,
  };
  const shown = models.map((model, i) => new CurveRow(model, `m${i % STYLES}`, asked));
  const linear = shown.filter(({ model }) => /linear|regression/i.test(model.name));
  for (const each of linear.length > 0 ? linear : shown) each.choose();
  for (const each of shown) each.onChoice(update);
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
    ...shown.map((each) => each.element),
  );
  range.addEventListener("input", () => {
    stop();
    update();
  });
  place.addEventListener("change", () => {
    update();
    learners.keepOnly(where());
  });
  arranged.addEventListener("change", () => {
    anotherLine();
    const why = layout() === "noise" ? `: among ${width} numbers a line takes more examples` : "";
    byId("learn-layout-note").textContent = `${points.length} new points${why}.`;
  });
  // What was refused for want of this key is asked again.
  onKey(() => {
    if (shown.some(({ fault }) => fault !== undefined)) update();
  });
  window.addEventListener("pagehide", () => learners.leave());
  byId("learn-line").addEventListener("click", () => {
    byId("learn-layout-note").textContent = "";
    anotherLine();
  });
  byId("learn-add").addEventListener("click", () => {
    change(() => points.push(onTheLine(points)));
    board.focus(points.length - 1);
  });
  byId("learn-last").addEventListener("click", () => change(() => points.pop()));
  byId("learn-clear").addEventListener("click", () => change(() => points.splice(0)));
  byId("learn-play").addEventListener("click", () => (playing === undefined ? play() : stop()));
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

  /** From where it was paused; from the start where all are seen. */
  function play(): void {
    if (range.valueAsNumber >= points.length) range.value = "0";
    update();
    byId("learn-play").textContent = "Pause";
    playing = setInterval(() => {
      range.value = String(range.valueAsNumber + 1);
      if (range.valueAsNumber >= points.length) stop();
      update();
    }, PLAY_MS);
  }

  function stop(): void {
    clearInterval(playing);
    playing = undefined;
    byId("learn-play").textContent = "Play";
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
    for (const each of shown) void each.renew();
  }

  function draw(): void {
    const faults = shown.flatMap(({ chosen, fault }) => (chosen && fault !== undefined ? [fault] : []));
    byId("learn-status").textContent = faults.join(" ");
    const seen = points.slice(0, range.valueAsNumber);
    const [full, others] = [true, false].map((full) => shown.filter((each) => each.chosen && each.full === full));
    byId("learn-room").textContent = roomOf(full!.map(({ model }) => model));
    byId("learn-beyond").textContent = beyondOf(
      others!.map(({ model }) => model),
      seen.length,
    );
    const rows = seen.map(({ x, noise }) => features(x, width, layout(), noise));
    const line = fitted(rows, seen);
    board.drawCurves([
      { style: "squares", points: XS.map((x) => [x, line(features(x, width, layout()))]) },
      ...shown.flatMap(({ chosen, style, answer, stale }) =>
        chosen && answer
          ? [
              {
                style: stale ? `${style} stale` : style,
                points: XS.map((x, i) => [x, answer.predictions[i]!] as const),
              },
            ]
          : [],
      ),
    ]);
  }
}

/** Least squares of the first examples. */
function fitted(rows: readonly number[][], seen: readonly Point[]): (row: readonly number[]) => number {
  return leastSquares(
    rows,
    seen.slice(0, rows.length).map(({ y }) => y),
  );
}
