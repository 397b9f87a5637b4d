import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import type { Row } from "../bench.ts";
import { startDevServer } from "../lib/dev-server.ts";
import { median, seconds } from "../lib/measure.ts";
import { openBackend } from "../lib/open-model.ts";
import { builtInSource } from "./built-in.ts";

const ROUNDS = 5;
const SERVERS = 3;
const PROMPT =
  "Once upon a time there was a king who had three sons. The eldest was brave, the second was wise, and the youngest";

/** From nothing to the first token. */
export async function coldStart(): Promise<Row[]> {
  const parts: Record<string, number[]> = {};
  for (let round = 0; round <= ROUNDS; round++) {
    const times = await inNode();
    // The first round also warms the compiler and the disk.
    if (round === 0) continue;
    for (const [name, time] of Object.entries(times)) parts[name] = [...(parts[name] ?? []), time];
  }
  const worker: { cold: number; warm: number }[] = [];
  for (let i = 0; i < SERVERS; i++) worker.push(await inWorker());
  const ms = (values: readonly number[]): string => (1000 * median(values)).toFixed(0);
  return [
    ...Object.entries(parts).map(([part, times]) => ({ where: "Node", part, ms: ms(times) })),
    {
      where: "Worker, local runtime",
      part: "first request of an isolate: load, prompt, first token",
      ms: ms(worker.map((w) => w.cold)),
    },
    { where: "Worker, local runtime", part: "the same request again", ms: ms(worker.map((w) => w.warm)) },
  ];
}

async function inNode(): Promise<Record<string, number>> {
  const backend = await openBackend("wasm");
  const start = performance.now();
  const since = (t: number): number => (performance.now() - t) / 1000;
  const model = await Model.open(builtInSource(), backend);
  const open = since(start);
  const tokens = model.requireTokenizer().encode(PROMPT);
  const shards = model.weights.lead(builtInSource());
  let waited = 0;
  const sequence = new Sequence(model);
  await sequence.feed([0, ...tokens], {
    logits: true,
    more: async () => {
      waited += await seconds(async () => {
        await shards.next();
      });
    },
  });
  const all = since(start);
  const again = new Sequence(model);
  const compute = await seconds(async () => {
    await again.feed([0, ...tokens], { logits: true });
  });
  model.dispose();
  return {
    "manifest, tokenizer, memory": open,
    "weights: read, hash, copy": waited,
    [`prompt of ${tokens.length} tokens, by layers as they arrive`]: all - open - waited,
    "all, to the first token": all,
    "the same prompt on the loaded model": compute,
  };
}

async function inWorker(): Promise<{ cold: number; warm: number }> {
  await using server = await startDevServer();
  const ask = (): Promise<number> =>
    seconds(async () => {
      const response = await fetch(`${server.url}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ prompt: PROMPT, max_tokens: 1, temperature: 0 }),
      });
      if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
      await response.json();
    });
  return { cold: await ask(), warm: await ask() };
}
