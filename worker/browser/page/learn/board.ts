import { setAttributes, svg } from "../plot.ts";
import type { Point } from "./features.ts";

/** The part of the plane that is shown: inputs and outputs of the size that the models were trained on. */
export const RANGE = { x: 2.5, y: 9 } as const;
const WIDTH = 640;
/** A phone has room below and not beside. */
const HEIGHT = matchMedia("(max-width: 30rem)").matches ? 600 : 400;
/** of an arrow key in x, and with Shift; in y three times as much. */
const [STEP, LEAP] = [0.1, 0.5];
/** Pixels on the screen: a point's radius, and how far from its middle it can still be held. A finger is no needle. */
const [RADIUS, REACH] = [7, 14];
/** A finger that moves further than this scrolls the page. */
const TAP = 10;

export interface Curve {
  /** of the stylesheet. */
  readonly style: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Place {
  readonly x: number;
  readonly y: number;
}

export interface BoardEvents {
  onAdd(place: Place): void;
  onMove(index: number, place: Place): void;
  onRemove(index: number): void;
}

/** The plane: a click or a tap adds a point, points are dragged, or moved by arrow keys and removed by Delete. */
export class Board {
  readonly element: SVGSVGElement;
  readonly #curves = svg("g", {});
  readonly #points = svg("g", {});
  readonly #events: BoardEvents;
  #drawn: readonly Point[] = [];
  /** the one that Tab comes to: not every point is a stop on the way past the board. */
  #current = 0;
  #dragged: number | undefined;
  #tapped: PointerEvent | undefined;
  /** units of the drawing in a pixel of the screen. */
  #scale = 1;

  constructor(events: BoardEvents) {
    this.#events = events;
    this.element = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      class: "board",
      role: "application",
      "aria-label": "Board of examples and curves",
    });
    this.element.style.setProperty("--aspect", String(WIDTH / HEIGHT));
    for (const at of [-2, -1, 0, 1, 2]) {
      const [x, y] = [px(at), py(3 * at)];
      this.element.append(
        svg("line", { class: "grid", x1: x, x2: x, y1: 0, y2: HEIGHT }),
        svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }),
        label(at, { x, y: HEIGHT, dx: 3, dy: -4 }),
        label(3 * at, { x: 0, y, dx: 4, dy: -4 }),
      );
    }
    this.element.append(this.#curves, this.#points);
    this.element.addEventListener("pointerdown", (event) => this.#press(event));
    this.element.addEventListener("pointermove", (event) => {
      if (this.#dragged !== undefined && event.isPrimary) this.#events.onMove(this.#dragged, this.#at(event));
    });
    // Where a finger takes hold of a point the page must not scroll. touch-action cannot say so: a point is smaller than its reach.
    const hold = (event: TouchEvent): void => {
      if (this.#nearest(event.changedTouches[0]!) >= 0) event.preventDefault();
    };
    this.element.addEventListener("touchstart", hold, { passive: false });
    this.element.addEventListener("pointerup", (event) => {
      if (!event.isPrimary) return;
      const from = this.#tapped;
      this.#rest();
      if (from === undefined) return;
      const moved = Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY);
      if (moved <= TAP) this.#events.onAdd(this.#at(event));
    });
    this.element.addEventListener("pointercancel", () => this.#rest());
    new ResizeObserver(() => this.#fit()).observe(this.element);
  }

  /** @param seen how many of the points count so far */
  drawPoints(points: readonly Point[], seen: number): void {
    this.#drawn = points;
    const dots = this.#points.children;
    const focused = [...dots].indexOf(document.activeElement as Element);
    // What is held may have gone, or have another number now.
    if (points.length < dots.length) this.#rest();
    // Kept while they can be: what a finger holds must not go.
    while (dots.length > points.length) dots[dots.length - 1]!.remove();
    while (dots.length < points.length) this.#points.append(this.#dot(dots.length));
    this.#current = Math.max(0, Math.min(this.#current, points.length - 1));
    for (const [index, { x, y }] of points.entries()) {
      const name = `Example ${index + 1}: x ${x.toFixed(1)}, y ${y.toFixed(1)}`;
      setAttributes(dots[index]!, {
        class: index < seen ? "dot" : "dot unseen",
        tabindex: index === this.#current ? 0 : -1,
        cx: px(x),
        cy: py(y),
        "aria-label": `${name}. Arrow keys move it, with Shift further; Delete removes it; Page Up and Page Down go to the others`,
      });
    }
    if (focused >= points.length) this.focus(points.length - 1);
  }

  #dot(index: number): SVGElement {
    const dot = svg("circle", { r: RADIUS * this.#scale, role: "img" });
    dot.addEventListener("keydown", (event) => this.#key(event, index, this.#drawn[index]!));
    return dot;
  }

  /** Gives a point the keys. */
  focus(index: number): void {
    const dots = this.#points.children;
    if (index < 0 || index >= dots.length) return;
    for (const [i, dot] of [...dots].entries()) dot.setAttribute("tabindex", i === index ? "0" : "-1");
    this.#current = index;
    (dots[index] as SVGElement).focus({ preventScroll: true });
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
    // A second finger neither adds a point nor takes hold of one.
    if (event.button !== 0 || !event.isPrimary) return;
    const on = this.#nearest(event);
    if (on < 0 && event.pointerType === "touch") {
      this.#tapped = event;
      return;
    }
    if (on >= 0) this.focus(on);
    // A new one follows the mouse as long as it is held.
    this.#dragged = on < 0 ? this.#points.children.length : on;
    this.element.setPointerCapture(event.pointerId);
    if (on < 0) this.#events.onAdd(this.#at(event));
  }

  #rest(): void {
    this.#dragged = undefined;
    this.#tapped = undefined;
  }

  /** Points and letters keep their size on the screen, however small the drawing is. */
  #fit(): void {
    const { width } = this.element.getBoundingClientRect();
    if (width === 0) return;
    this.#scale = WIDTH / width;
    this.element.style.setProperty("--scale", String(this.#scale));
    for (const dot of this.#points.children) dot.setAttribute("r", String(RADIUS * this.#scale));
  }

  /** The point under the pointer, or −1. */
  #nearest({ clientX, clientY }: PointerEvent | Touch): number {
    const distances = [...this.#points.children].map((dot) => {
      const { left, top, width, height } = dot.getBoundingClientRect();
      return Math.hypot(left + width / 2 - clientX, top + height / 2 - clientY);
    });
    const least = Math.min(...distances);
    return least <= REACH ? distances.lastIndexOf(least) : -1;
  }

  #key(event: KeyboardEvent, index: number, { x, y }: Point): void {
    const step = event.shiftKey ? LEAP : STEP;
    const steps: Record<string, readonly [number, number]> = {
      ArrowLeft: [-step, 0],
      ArrowRight: [step, 0],
      ArrowUp: [0, 3 * step],
      ArrowDown: [0, -3 * step],
    };
    const [dx, dy] = steps[event.key] ?? [0, 0];
    if (event.key === "PageUp") this.focus(index - 1);
    else if (event.key === "PageDown") this.focus(index + 1);
    else if (event.key === "Delete" || event.key === "Backspace") this.#events.onRemove(index);
    else if (dx !== 0 || dy !== 0) this.#events.onMove(index, within({ x: x + dx, y: y + dy }));
    else return;
    event.preventDefault();
  }

  #at({ clientX, clientY }: PointerEvent): Place {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    return within({
      x: ((clientX - left) / width) * 2 * RANGE.x - RANGE.x,
      y: RANGE.y - ((clientY - top) / height) * 2 * RANGE.y,
    });
  }
}

function within({ x, y }: Place): Place {
  const clamp = (value: number, most: number): number => Math.max(-most, Math.min(most, value));
  return { x: clamp(x, RANGE.x), y: clamp(y, RANGE.y) };
}

function px(x: number): number {
  return ((x + RANGE.x) / (2 * RANGE.x)) * WIDTH;
}

function label(value: number, place: Record<string, number>): SVGTextElement {
  const made = svg("text", { class: "tick", ...place });
  made.textContent = String(value).replace("-", "−");
  return made;
}

/** What is far outside stays near the edge: SVG takes no endless coordinates. */
function py(y: number): number {
  return ((RANGE.y - Math.max(-27, Math.min(27, y))) / (2 * RANGE.y)) * HEIGHT;
}
