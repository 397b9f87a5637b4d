import { PenaltyWindow } from "../../worker/engine/penalty-window.ts";
import { draw } from "../../worker/engine/random.ts";

export function windowOf(prompt: number[], generated: number[]): PenaltyWindow {
  const window = new PenaltyWindow();
  window.pushAll(prompt, false);
  window.pushAll(generated, true);
  return window;
}

/** Rounded to multiples of a quarter when `coarse`, so that there are ties. */
export function randomLogits(seed: number, vocab: number, spread: number, coarse: boolean): Float32Array {
  const logit = (i: number) => (draw(seed, 3 * i) + draw(seed, 3 * i + 1) + draw(seed, 3 * i + 2) - 1.5) * 2 * spread;
  return Float32Array.from({ length: vocab }, (_, i) => (coarse ? Math.round(logit(i) * 4) / 4 : logit(i)));
}
