import { Automaton } from "../../../worker/engine/constraint/automaton.ts";
import type { Node } from "../../../worker/engine/constraint/grammar.ts";
import { draw } from "../../../worker/engine/random.ts";

/** Says of texts whether a grammar allows them. */
export function matcher(root: Node): (text: string) => boolean {
  const automaton = new Automaton(root);
  return (text) => {
    let state: ReturnType<Automaton["step"]> = automaton.start;
    for (const byte of new TextEncoder().encode(text)) {
      if (state === null) return false;
      state = automaton.step(state, byte);
    }
    return state?.accepts === true;
  };
}

/** A text that a grammar allows, drawn byte by byte; from `most` bytes on the shortest way to its end is taken. */
export function randomText(root: Node, seed: number, most = 40): string {
  const automaton = new Automaton(root);
  let state = automaton.start;
  const text: number[] = [];
  for (let i = 0; ; i++) {
    const ways = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => automaton.step(state, byte) !== null);
    if (state.accepts && (ways.length === 0 || draw(seed, 2 * i) < 0.1)) break;
    if (text.length >= most) {
      text.push(...automaton.shortest(state));
      break;
    }
    const byte = ways[Math.floor(draw(seed, 2 * i + 1) * ways.length)]!;
    text.push(byte);
    state = automaton.step(state, byte)!;
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(text));
}
