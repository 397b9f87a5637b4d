import { svg } from "../plot.ts";
import type { Point } from "./features.ts";

/** The part of the plane that is shown: inputs and outputs of the size that the models were trained on. */
export const RANGE = { x: 2.5, y: 3 } as const;
const [WIDTH, HEIGHT] = [640, 400];
/** of an arrow key. */
const STEP = 0.1;
/** Pixels from a point's middle that still hold it: a finger is no needle. */
const REACH = 14;

export interface Curve {
  /** of the stylesheet. */
  readonly style: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface BoardEvents {
  onAdd(point: Point): void;
  onMove(index: number, point: Point): void;
  onRemove(index: number): void;
}

/** The plane: a click adds a point, points are dragged, or moved by arrow keys and removed by Delete. */
export class Board {
  readonly element: SVGSVGElement;
  readonly #curves = svg("g", {});
  readonly #points = svg("g", {});
  readonly #events: BoardEvents;
  #dragged: number | undefined;

  constructor(events: BoardEvents) {
    this.#events = events;
    this.element = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      class: "board",
      "aria-label": "Examples and curves",
    });
    for (const at of [-2, -1, 0, 1, 2]) {
      this.element.append(svg("line", { class: "grid", x1: px(at), x2: px(at), y1: 0, y2: HEIGHT }));
      this.element.append(svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: py(at), y2: py(at) }));
    }
    this.element.append(this.#curves, this.#points);
    this.element.addEventListener("pointerdown", (event) => this.#press(event));
    this.element.addEventListener("pointermove", (event) => {
      if (this.#dragged !== undefined) this.#events.onMove(this.#dragged, this.#at(event));
    });
    for (const type of ["pointerup", "pointercancel"]) {
      this.element.addEventListener(type, () => {
        this.#dragged = undefined;
      });
    }
  }

  /** @param seen how many of the points count so far */
  drawPoints(points: readonly Point[], seen: number): void {
    const focused = [...this.#points.children].indexOf(document.activeElement as Element);
    this.#points.replaceChildren(
      ...points.map((point, index) => {
        const label = `Example ${index + 1}: x ${point.x.toFixed(1)}, y ${point.y.toFixed(1)}`;
        const dot = svg("circle", {
          class: index < seen ? "dot" : "dot unseen",
          cx: px(point.x),
          cy: py(point.y),
          r: 8,
          tabindex: 0,
          role: "button",
          "aria-label": `${label}. Arrow keys move it, Delete removes it`,
        });
        dot.addEventListener("keydown", (event) => this.#key(event, index, point));
        return dot;
      }),
    );
    (this.#points.children[focused] as SVGElement | undefined)?.focus();
  }

  drawCurves(curves: readonly Curve[]): void {
    this.#curves.replaceChildren(
      ...curves.map(({ style, points }) => {
        const d = points.map(([x, y], i) => `${i === 0 ? "M" : "L"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
        return svg("path", { class: `curve ${style}`, d });
      }),
    );
  }

  #press(event: PointerEvent): void {
    if (event.button !== 0) return;
    const on = this.#nearest(event);
    if (on >= 0) {
      this.#dragged = on;
      this.element.setPointerCapture(event.pointerId);
    } else this.#events.onAdd(this.#at(event));
  }

  /** The point under the pointer, or −1. */
  #nearest({ clientX, clientY }: PointerEvent): number {
    const distances = [...this.#points.children].map((dot) => {
      const { left, top, width, height } = dot.getBoundingClientRect();
      return Math.hypot(left + width / 2 - clientX, top + height / 2 - clientY);
    });
    const least = Math.min(...distances);
    return least <= REACH ? distances.lastIndexOf(least) : -1;
  }

  #key(event: KeyboardEvent, index: number, { x, y }: Point): void {
    const steps: Record<string, readonly [number, number]> = {
      ArrowLeft: [-STEP, 0],
      ArrowRight: [STEP, 0],
      ArrowUp: [0, STEP],
      ArrowDown: [0, -STEP],
    };
    const [dx, dy] = steps[event.key] ?? [0, 0];
    if (event.key === "Delete" || event.key === "Backspace") this.#events.onRemove(index);
    else if (dx !== 0 || dy !== 0) this.#events.onMove(index, within({ x: x + dx, y: y + dy }));
    else return;
    event.preventDefault();
  }

  #at({ clientX, clientY }: PointerEvent): Point {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    return within({
      x: ((clientX - left) / width) * 2 * RANGE.x - RANGE.x,
      y: RANGE.y - ((clientY - top) / height) * 2 * RANGE.y,
    });
  }
}

function within({ x, y }: Point): Point {
  const clamp = (value: number, most: number): number => Math.max(-most, Math.min(most, value));
  return { x: clamp(x, RANGE.x), y: clamp(y, RANGE.y) };
}

function px(x: number): number {
  return ((x + RANGE.x) / (2 * RANGE.x)) * WIDTH;
}

/** What is far outside stays near the edge: SVG takes no endless coordinates. */
function py(y: number): number {
  return ((RANGE.y - Math.max(-9, Math.min(9, y))) / (2 * RANGE.y)) * HEIGHT;
}
