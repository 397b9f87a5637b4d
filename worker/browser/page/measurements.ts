import type { ModelInfo } from "../client/index.ts";
import { byId } from "./dom.ts";
import { plot, roundUp } from "./plot.ts";

/** Tokens a point of the time plot is the mean of. */
const BIN = 8;

/** What was measured of one text: milliseconds a token, by where in the context. */
export class Timeline {
  readonly points: [length: number, ms: number][] = [];
  #from: { length: number; at: number } | undefined;
  #first = 0;
  #last = 0;

  /** A generation begins: time until its first token is no token's. */
  begin(): void {
    this.#from = undefined;
    this.#first = this.points.length;
  }

  /** The generation's end tells its true length: until then the edge leaves out the words that it was just given. */
  settle(length: number): void {
    const missing = length - this.#last;
    if (this.#from === undefined || missing <= 0) return;
    for (const point of this.points.slice(this.#first)) point[0] += missing;
  }

  /** The generation failed: what it added to the context is not there. */
  drop(): void {
    this.points.length = this.#first;
  }

  /** @param at milliseconds since the generation began */
  add(length: number, at: number): void {
    this.#last = length;
    this.#from ??= { length, at };
    const tokens = length - this.#from.length;
    if (tokens < BIN) return;
    this.points.push([length, (at - this.#from.at) / tokens]);
    this.#from = { length, at };
  }
}

export function bytes(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} GB`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} MB`;
  return `${Math.round(count / 1e3)} kB`;
}

/** Small numbers to the byte. */
export function bytesExactly(count: number): string {
  return count < 1e6 ? `${count.toLocaleString("en")} B` : bytes(count);
}

/**
 * Bytes a token of the keys and values of a transformer of the same width and parameters: its layer has 12·dim² of them, Mamba's
 * 6·dim², so half as many layers, each with a key and a value of dim, in f16.
 */
export function transformerBytesPerToken({ layers, dim }: ModelInfo): number {
  return Math.ceil(layers / 2) * 2 * dim * 2;
}

export function parameters(count: number): string {
  return count >= 1e6 ? `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} million` : count.toLocaleString("en");
}

/** Two digits, or whole seconds. @param ms at least 0 */
export function seconds(ms: number): string {
  const s = ms / 1000;
  return `${s < 10 ? Number(s.toPrecision(2)) : s.toFixed(0)} s`;
}

export function rate(tokensPerMs: number): string {
  const rate = tokensPerMs * 1000;
  return rate >= 100 ? rate.toFixed(0) : rate.toFixed(1);
}

/** Draws both plots. @param length tokens of context now */
export function drawPlots(info: ModelInfo, length: number, timeline: Timeline | undefined): void {
  const xMax = roundUp(Math.max(1000, length * 1.2));
  const perToken = transformerBytesPerToken(info);
  const label = `At ${length} tokens the state has ${bytes(info.stateBytes)}, a transformer's cache would have ${bytes(length * perToken)}`;
  byId("memory-plot").replaceChildren(
    plot(
      [
        { name: "transformer", style: "b", points: [[0, 0], [xMax, xMax * perToken]] }, // biome-ignore format: a line
        { name: "this model", style: "a", points: [[0, info.stateBytes], [xMax, info.stateBytes]] }, // biome-ignore format: a line
      ],
      { label, xName: "tokens of context", xMax, now: length, format: bytes },
    ),
  );
  byId("memory-note").textContent =
    `${bytes(info.stateBytes)} at any length. A transformer of the same width and ` +
    `${parameters(info.parameters)} parameters adds ${bytes(perToken)} of keys and values (f16) with each token.`;
  const points = timeline?.points ?? [];
  byId("time").hidden = points.length === 0;
  if (points.length === 0) return;
  byId("time-plot").replaceChildren(
    plot([{ name: "", style: "a", points }], {
      label: `${points.at(-1)![1].toFixed(1)} ms a token at ${length} tokens`,
      xName: "tokens of context",
      xMax,
      format: (ms) => `${Number(ms.toPrecision(2))} ms`,
    }),
  );
}
