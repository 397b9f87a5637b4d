import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { encodeSnapshot, takeSnapshot } from "../../worker/engine/snapshot.ts";
import { median } from "../lib/measure.ts";
import { openBackend } from "../lib/open-model.ts";
import type { Row } from "../lib/table.ts";
import { builtInSource } from "./built-in.ts";

/**
 * Dollars beyond what a paid plan includes (30 million CPU ms, 5 GB), as published in August 2026:
 * https://developers.cloudflare.com/workers/platform/pricing and https://developers.cloudflare.com/durable-objects/platform/pricing
 */
const A_CPU_MS = 0.02 / 1e6;
const A_STORED_GB_MONTH = 0.2;
/** Snapshots that a session retains. */
const RETAINED = 4;

const ROUNDS = 9;
const PROMPT_TOKENS = 512;
const GENERATED_TOKENS = 128;

/** What tokens and sessions cost on Cloudflare, from the CPU time that they take here. */
export async function costs(): Promise<Row[]> {
  const model = await Model.load(builtInSource(), await openBackend("wasm"));
  const tokens = Array.from({ length: PROMPT_TOKENS }, (_, i) => (i * 7919) % model.vocab);
  const prompt: number[] = [];
  const generated: number[] = [];
  let bytes = 0;
  for (let round = 0; round <= ROUNDS; round++) {
    const sequence = new Sequence(model);
    const fed = await cpuMs(() => sequence.feed(tokens, { logits: true }));
    const decoded = await cpuMs(async () => {
      for (const token of tokens.slice(0, GENERATED_TOKENS)) await sequence.feed([token], { logits: true });
    });
    bytes = (await encodeSnapshot(await takeSnapshot(sequence))).byteLength;
    sequence.dispose();
    // The first round warms the compiler.
    if (round === 0) continue;
    prompt.push(fed / PROMPT_TOKENS);
    generated.push(decoded / GENERATED_TOKENS);
  }
  const million = (what: string, ms: number): Row => ({
    [`of ${model.manifest.id}`]: what,
    "CPU ms each": ms.toFixed(2),
    dollars: (1e6 * ms * A_CPU_MS).toFixed(4),
  });
  const month = (RETAINED * bytes * A_STORED_GB_MONTH) / 1e9;
  model.dispose();
  return [
    million("a million prompt tokens", median(prompt)),
    million("a million generated tokens", median(generated)),
    {
      [`of ${model.manifest.id}`]: `a session kept for a month: ${RETAINED} states of ${bytes} bytes`,
      "CPU ms each": "",
      dollars: month.toFixed(4),
    },
  ];
}

/** CPU milliseconds that this process spends on a piece of work, whatever else the machine does. */
async function cpuMs(work: () => Promise<unknown>): Promise<number> {
  const begin = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1000;
}
