import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { decodeSnapshot, encodeSnapshot, restoreSnapshot, takeSnapshot } from "../../worker/engine/snapshot.ts";
import { inTurns } from "../lib/measure.ts";
import { openBackend } from "../lib/open-model.ts";
import type { Row } from "../lib/table.ts";
import { builtInSource } from "./built-in.ts";

const ROUNDS = 21;

/** What keeping a sequence costs. */
export async function snapshots(): Promise<Row[]> {
  const model = await Model.load(builtInSource(), await openBackend("wasm"));
  const sequence = new Sequence(model);
  await sequence.feed(model.requireTokenizer().encode("Once upon a time there was a king who had three sons."));
  const snapshot = await takeSnapshot(sequence);
  const bytes = await encodeSnapshot(snapshot);
  const time = await inTurns(
    {
      take: async () => {
        await takeSnapshot(sequence);
      },
      encode: async () => {
        await encodeSnapshot(snapshot);
      },
      decode: async () => {
        await decodeSnapshot(bytes);
      },
      restore: () => restoreSnapshot(model, snapshot).dispose(),
      fork: () => sequence.fork().dispose(),
    },
    ROUNDS,
  );
  const ms = (s: number): string => (1000 * s).toFixed(2);
  return [
    {
      model: model.manifest.id,
      bytes: bytes.length,
      "take ms": ms(time.take),
      "encode and hash ms": ms(time.encode),
      "check and decode ms": ms(time.decode),
      "restore ms": ms(time.restore),
      "fork ms": ms(time.fork),
    },
  ];
}
