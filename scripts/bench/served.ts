import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { type DevServer, startDevServer } from "../lib/dev-server.ts";
import { median } from "../lib/measure.ts";
import { openBackend } from "../lib/open-model.ts";
import { events } from "../lib/sse.ts";
import type { Row } from "../lib/table.ts";
import { builtInSource } from "./built-in.ts";

const TOKENS = 256;
const ROUNDS = 7;
const TOGETHER = [1, 4] as const;
const PROMPT = "Once upon a time there was a king who had three sons, and";

/** Streams of completions over HTTP, from the local edge runtime, beside decoding alone in Node: tokens a second of all streams together. */
export async function served(): Promise<Row[]> {
  await using server = await startDevServer();
  const model = await Model.load(builtInSource(), await openBackend("wasm"));
  const found = new Map<string, number[]>();
  const note = (name: string, rate: number): void => void found.set(name, [...(found.get(name) ?? []), rate]);
  for (let round = 0; round <= ROUNDS; round++) {
    const rates: [string, number][] = [["Node, decoding alone", await decodes(model)]];
    for (const streams of TOGETHER) rates.push([`HTTP, ${streams} at once`, await streamed(server, streams, round)]);
    // The first round loads the model and warms compilers.
    if (round > 0) for (const [name, rate] of rates) note(name, rate);
  }
  model.dispose();
  const alone = median(found.get("Node, decoding alone") ?? []);
  return [...found].map(([name, rates]) => ({
    [`of ${model.manifest.id}`]: name,
    "tok/s": median(rates).toFixed(0),
    "of Node's": (median(rates) / alone).toFixed(2),
  }));
}

async function decodes(model: Model): Promise<number> {
  const sequence = new Sequence(model);
  const begin = performance.now();
  for (let i = 0; i < TOKENS; i++) await sequence.feed([(i * 7919) % model.vocab], { logits: true });
  const rate = TOKENS / ((performance.now() - begin) / 1000);
  sequence.dispose();
  return rate;
}

async function streamed(server: DevServer, streams: number, seed: number): Promise<number> {
  const begin = performance.now();
  const counts = await Promise.all(Array.from({ length: streams }, (_, i) => stream(server, seed * streams + i)));
  return counts.reduce((sum, count) => sum + count, 0) / ((performance.now() - begin) / 1000);
}

/** Tokens of a whole answer; its prompt is a few tokens, and what it takes counts. */
async function stream(server: DevServer, seed: number): Promise<number> {
  const body = {
    prompt: PROMPT,
    max_tokens: TOKENS,
    seed,
    temperature: 0.8,
    logit_bias: { "0": -100 },
    stream: true,
    stream_options: { include_usage: true },
  };
  const response = await fetch(`${server.url}/v1/completions`, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  let count = 0;
  for await (const event of events(response)) {
    count = (event as { usage?: { completion_tokens: number } | null }).usage?.completion_tokens ?? count;
  }
  if (count === 0) throw new Error("a stream without usage");
  return count;
}
