import type { Generation, GenerationResult } from "../client/index.ts";
import { byId } from "./dom.ts";
import { rate } from "./measurements.ts";
import type { OpenText } from "./open-text.ts";

/** Between two drawings of the plots: each takes about a millisecond of the page's thread. */
const DRAW_MS = 250;

/** What is done with each piece, and now and then with the plots. */
interface Shown {
  readonly piece: (piece: string) => void;
  readonly figures: () => void;
}

/** Shows a generation as it comes, in the text's last turn. */
export async function follow(generation: Generation, text: OpenText, shown: Shown): Promise<GenerationResult> {
  const turn = text.turns.at(-1)!;
  let first: { at: number; length: number } | undefined;
  let drawn = 0;
  text.timeline.begin();
  for await (const { text: piece, length, at } of generation) {
    turn.text += piece;
    shown.piece(piece);
    if (first === undefined) {
      first = { at, length };
      byId("first").textContent = `${Math.round(at)} ms`;
    }
    text.timeline.add(length, at);
    text.length = length;
    if (at - drawn < DRAW_MS) continue;
    drawn = at;
    if (length > first.length) byId("rate").textContent = rate((length - first.length) / (at - first.at));
    shown.figures();
  }
  const result = await generation.result;
  text.length = result.promptTokens + result.completionTokens;
  text.timeline.settle(text.length);
  const { firstTokenMs, totalMs, completionTokens } = result;
  if (firstTokenMs !== undefined && completionTokens > 1) {
    byId("rate").textContent = rate((completionTokens - 1) / (totalMs - firstTokenMs));
  }
  return result;
}
