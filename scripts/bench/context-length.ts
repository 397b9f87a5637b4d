import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { progressBar } from "../lib/cli.ts";
import { inTurns } from "../lib/measure.ts";
import { openBackend } from "../lib/open-model.ts";
import type { Row } from "../lib/table.ts";
import { builtInSource } from "./built-in.ts";

const LENGTHS = [0, 1_000, 10_000, 100_000];
const DECODE = 16;
const ROUNDS = 15;

/** Decode speed after ever longer contexts, measured in turns on sequences of those lengths. */
export async function contextLength(): Promise<Row[]> {
  const model = await Model.load(builtInSource(), await openBackend("wasm"));
  const bar = progressBar("prefilling");
  const decode: Record<string, () => Promise<void>> = {};
  const grown = new Sequence(model);
  for (const length of LENGTHS) {
    await grown.feed(prose(model, length).slice(grown.consumed), {
      onProgress: () => bar.update(grown.consumed, LENGTHS.at(-1)!),
    });
    const sequence = grown.fork();
    decode[length] = async () => {
      for (let i = 0; i < DECODE; i++) await sequence.feed([i + 5], { logits: true });
    };
  }
  bar.stop();
  const time = await inTurns(decode, ROUNDS);
  return LENGTHS.map((length) => ({
    "tokens of context": length,
    "decode tok/s": (DECODE / time[length]!).toFixed(1),
    "of the speed at 0": (time[0]! / time[length]!).toFixed(3),
    "state bytes": 4 * model.executable.stateLayout.reduce((sum, p) => sum + p.length, 0),
  }));
}

/** So many tokens of text. */
function prose(model: Model, length: number): number[] {
  const sentence = model
    .requireTokenizer()
    .encode(" Once upon a time there was a king who had three sons, and the youngest went out into the world.");
  return Array.from({ length }, (_, i) => sentence[i % sentence.length]!);
}
