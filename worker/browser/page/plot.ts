/** A small line plot in SVG. Colours are the stylesheet's. */

export interface Series {
  readonly name: string;
  /** of the stylesheet: "a" solid, "b" dashed. */
  readonly style: "a" | "b";
  /** A point left of the one before it begins a new line. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface PlotOptions {
  readonly label: string;
  readonly xName: string;
  /** largest x. */
  readonly xMax: number;
  /** marks where things are now. */
  readonly now?: number;
  readonly format: (y: number) => string;
}

const [WIDTH, HEIGHT] = [320, 170];
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 12, 12, 34];
const NS = "http://www.w3.org/2000/svg";

/** @returns the drawing, with a description in words for who cannot see it */
export function plot(series: readonly Series[], { label, xName, xMax, now, format }: PlotOptions): SVGSVGElement {
  const yMax = roundUp(Math.max(...series.flatMap(({ points }) => points.map(([, y]) => y)), 1e-9));
  const px = (x: number): number => LEFT + (Math.min(x, xMax) / xMax) * (WIDTH - LEFT - RIGHT);
  const py = (y: number): number => HEIGHT - BOTTOM - (y / yMax) * (HEIGHT - TOP - BOTTOM);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "plot", role: "img", "aria-label": label });
  for (const part of [0, 0.5, 1]) {
    const y = py(part * yMax);
    drawing.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }));
    drawing.append(text(part === 0 ? "0" : format(part * yMax), { x: LEFT - 6, y: y + 4, "text-anchor": "end" }));
  }
  for (const part of [0, 0.5, 1]) {
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    drawing.append(text(short(part * xMax), { x: px(part * xMax), y: HEIGHT - BOTTOM + 15, "text-anchor": anchor }));
  }
  drawing.append(text(xName, { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }));
  if (now !== undefined && now > 0) {
    drawing.append(svg("line", { class: "now", x1: px(now), x2: px(now), y1: TOP, y2: HEIGHT - BOTTOM }));
  }
  for (const { name, style, points } of series) {
    const last = points.at(-1);
    if (last === undefined) continue;
    const path = points
      .map(([x, y], i) => `${i === 0 || x < points[i - 1]![0] ? "M" : "L"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`)
      .join("");
    drawing.append(svg("path", { class: `line ${style}`, d: path }));
    if (name === "") continue;
    const y = py(last[1]);
    const place = { class: `name-${style}`, x: WIDTH - RIGHT - 4, "text-anchor": "end" };
    // Above a low line, left of the top of a steep one.
    drawing.append(text(name, y < TOP + 20 ? { ...place, x: px(xMax * 0.72), y: TOP + 12 } : { ...place, y: y - 7 }));
  }
  return drawing;
}

/** An element of SVG with its attributes. */
export function svg<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Record<string, string | number>,
): SVGElementTagNameMap[K] {
  const made = document.createElementNS(NS, name);
  setAttributes(made, attributes);
  return made;
}

export function setAttributes(of: Element, attributes: Record<string, string | number>): void {
  for (const [key, value] of Object.entries(attributes)) of.setAttribute(key, String(value));
}

function text(content: string, attributes: Record<string, string | number>): SVGTextElement {
  const made = svg("text", attributes);
  made.textContent = content;
  return made;
}

/** The next of 1, 2, 5 · 10ⁿ. */
export function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10) * power;
}

function short(value: number): string {
  return value >= 1000 ? `${Number((value / 1000).toFixed(1))}k` : String(Math.round(value));
}
