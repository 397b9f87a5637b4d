import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { folderSink } from "../../weights/node/folder.ts";
import { startDevServer } from "../lib/dev-server.ts";
import { median, seconds } from "../lib/measure.ts";
import type { Row } from "../lib/table.ts";
import { BUILT_IN } from "./built-in.ts";
import { writeRandom130m } from "./random-package.ts";

const ROUNDS = 5;
const SERVERS = 3;
const PROMPT =
  "Once upon a time there was a king who had three sons. The eldest was brave, the second was wise, and the youngest";

/** What cold-process.ts prints. */
type Times = Readonly<
  Record<"placing" | "tokenizer" | "tokenizing" | "waiting" | "computing" | "all" | "stream" | "prompt", number>
>;

/** From nothing to the first token. */
export async function coldStart(): Promise<Row[]> {
  const temporary = await mkdtemp(join(tmpdir(), "mamba-edge-bench-"));
  try {
    const random = join(temporary, "random-130m");
    await writeRandom130m(await folderSink(random), await readFile(join(BUILT_IN, "tokenizer.json")));
    const rows: Row[] = [];
    for (const [model, folder] of Object.entries({ "built-in, q8": BUILT_IN, "mamba-130m shape, q4": random })) {
      rows.push(...(await inNode(model, folder)));
    }
    return [...rows, ...(await inWorkers())];
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** A prompt of 512 tokens on a package that is not loaded, in fresh processes; the first also warms the disk. */
async function inNode(model: string, folder: string): Promise<Row[]> {
  const script = fileURLToPath(new URL("cold-process.ts", import.meta.url));
  const rounds: Times[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const { stdout } = await promisify(execFile)(process.execPath, [script, folder]);
    if (round > 0) rounds.push(JSON.parse(stdout) as Times);
  }
  const middle = (value: (times: Times) => number): number => median(rounds.map(value));
  const row = (part: string, value: (times: Times) => number): Row => ({
    where: `Node, ${model}`,
    part,
    ms: (1000 * middle(value)).toFixed(0),
  });
  return [
    row("manifest; meanwhile WebAssembly compiled, chosen by its self-test; memory", (t) => t.placing),
    row("tokenizer; meanwhile the first shards are read and hashed", (t) => t.tokenizer),
    row("the prompt's tokens", (t) => t.tokenizing),
    row("weights copied in, and waited for", (t) => t.waiting),
    row("prompt of 512, by layers as they arrive", (t) => t.computing),
    row("all, to the first token", (t) => t.all),
    row("alone: read and hash all shards", (t) => t.stream),
    row("alone: the prompt on the loaded model", (t) => t.prompt),
    {
      where: `Node, ${model}`,
      part: "all / the longer of the two alone",
      ms: middle((t) => t.all / Math.max(t.stream, t.prompt)).toFixed(2),
    },
  ];
}

async function inWorkers(): Promise<Row[]> {
  const worker: { cold: number; warm: number }[] = [];
  for (let i = 0; i < SERVERS; i++) worker.push(await inWorker());
  const where = "Worker, local runtime";
  const ms = (values: readonly number[]): string => (1000 * median(values)).toFixed(0);
  return [
    { where, part: "first request of an isolate: load, prompt, first token", ms: ms(worker.map((w) => w.cold)) },
    { where, part: "the same request again", ms: ms(worker.map((w) => w.warm)) },
  ];
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
