import { byId, element } from "../dom.ts";
import { ARCHITECTURES, bestOn, finding, TASKS } from "./study.ts";

/** Plots that scripts/train/icl_report.py made of the committed results, by their file's name: the task. */
const PLOTS = import.meta.glob<string>("../results/*.svg", { query: "?url", import: "default", eager: true });

/** The study's results, where there are any. */
export function showResults(): void {
  const figures = TASKS.flatMap((result) => {
    const src = PLOTS[`../results/${result.task}.svg`];
    if (src === undefined) return [];
    const name = result.task.replace(/-(no-curriculum)$/, ", $1").replaceAll("-", " ");
    const alt = `${name}: error against the number of examples in the prompt, for each architecture and baseline`;
    const image = element("img", { src, alt, loading: "lazy" });
    const words = element("p", { className: "note" }, finding(result));
    return [element("figure", {}, element("figcaption", {}, name), image, words)];
  });
  byId("learn-results").hidden = figures.length === 0;
  byId("learn-found").textContent = summary();
  byId("learn-plots").replaceChildren(...figures);
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
