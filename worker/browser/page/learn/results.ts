import { byId, element } from "../dom.ts";
import { finding, measured, regression, scoreRows } from "./findings.ts";
import { ARCHITECTURES, bestOn, TASKS, type TaskResult } from "./study.ts";

/** Plots that scripts/train/icl_report.py made of the committed results, by their file's name: the task. */
const PLOTS = import.meta.glob<string>("../results/*.svg", { query: "?url", import: "default", eager: true });

/** The study's results, where there are any. */
export function showResults(): void {
  const figures = TASKS.flatMap((result) => {
    const src = PLOTS[`../results/${result.task}.svg`];
    if (src === undefined) return [];
    const name = result.task
      .replace(/-(no-curriculum)$/, ", $1")
      .replaceAll("-", " ")
      .replace("relu", "ReLU");
    const alt = `${name}: error against the number of examples in the prompt, for each architecture and baseline`;
    const image = element("img", { src, alt, loading: "lazy" });
    const words = element("p", { className: "note" }, finding(result));
    return [element("figure", {}, element("figcaption", {}, name), image, words, numbers(name, result))];
  });
  byId("learn-results").hidden = figures.length === 0;
  byId("learn-found").textContent = summary();
  byId("learn-plots").replaceChildren(...figures);
}

/** A task's numbers as a table, folded: the plot and a sentence say what they come to. */
function numbers(name: string, result: TaskResult): HTMLElement {
  const judged = result.solvedBelow !== undefined;
  const compared = Object.keys(result.paper).length > 0;
  const heads = ["", "Score", "Steps", ...(judged ? ["Verdict"] : []), ...(compared ? ["Paper"] : [])];
  const rows = scoreRows(result).map(({ title, score, steps = "none", verdict, paper }) => {
    const cells = [score, steps, ...(judged ? [verdict] : []), ...(compared ? [paper] : [])];
    return element("tr", {}, element("th", { scope: "row" }, title), ...cells.map((cell) => element("td", {}, cell)));
  });
  const head = element(
    "tr",
    {},
    ...heads.map((text) => element(text === "" ? "td" : "th", text === "" ? {} : { scope: "col" }, text)),
  );
  const table = element(
    "table",
    { className: "models" },
    element("caption", {}, measured(result)),
    element("thead", {}, head),
    element("tbody", {}, ...rows),
  );
  const lines = [
    judged ? `Solved below ${result.solvedBelow}, failed above ${result.failedAbove}.` : undefined,
    regression(result),
  ];
  const notes = lines.flatMap((text) => (text === undefined ? [] : [element("p", { className: "note" }, text)]));
  return element(
    "details",
    {},
    element("summary", {}, "The numbers", element("span", { className: "away" }, ` of ${name}`)),
    table,
    ...notes,
  );
}

/** Who is best, and on how many tasks. */
function summary(): string {
  const counts = ARCHITECTURES.map(({ name, title }) => {
    const [best, of] = bestOn(name);
    return { best, of, told: `${title} on ${best} of ${of}` };
  });
  const told = counts.filter(({ of }) => of > 0).sort((a, b) => b.best - a.best);
  if (told.length === 0) return "";
  return `Best of the six, or within the best one's 95 % interval: ${told.map((count) => count.told).join(", ")} tasks. Of several trainings the best counts.`;
}
