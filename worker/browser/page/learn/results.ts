import { byId, element } from "../dom.ts";

/** Plots that scripts/train/icl_report.py made of the committed results, by their file's name: the task. */
const PLOTS = import.meta.glob<string>("../results/*.svg", { query: "?url", import: "default", eager: true });

/** The study's results, where there are any. */
export function showResults(): void {
  const plots = Object.entries(PLOTS).map(([file, url]) => {
    const task = file.replace(/^.*\/|\.svg$/g, "").replaceAll("-", " ");
    const alt = `${task}: error against the number of examples in the prompt, for each architecture and baseline`;
    const image = element("img", { src: url, alt, loading: "lazy" });
    return element("figure", {}, element("figcaption", {}, task), image);
  });
  byId("learn-results").hidden = plots.length === 0;
  byId("learn-plots").replaceChildren(...plots);
}
