import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { DevServer } from "../../../scripts/lib/dev-server.ts";
import { effort } from "../../effort.ts";
import { startTestServer } from "./server.ts";
import { openWorkerHeap } from "./worker-heap.ts";

const run = promisify(execFile);
const SEEDS = 24;
const SAMPLE_MS = 500;
/** The Worker's heap in the last third of the time over that of the middle third. */
const MOST_GROWTH = 1.05;
const sleep = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms));

let server: DevServer;
beforeAll(async () => {
  server = await startTestServer({});
}, 120_000);
afterAll(() => server?.[Symbol.asyncDispose]());

/** The text of a seed, or the status of a refusal. */
async function stream(seed: number): Promise<string | number> {
  const response = await fetch(`${server.url}/v1/completions`, {
    method: "POST",
    signal: AbortSignal.timeout(30_000),
    body: JSON.stringify({ model: "tiny", prompt: "Once upon a time", max_tokens: 48, stream: true, seed }),
  });
  const body = await response.text();
  if (response.status !== 200) {
    const { error } = JSON.parse(body) as { error: { code: string } };
    if (response.status === 429 || error.code === "overloaded") return response.status;
    throw new Error(`seed ${seed}: status ${response.status}: ${body}`);
  }
  const events = body.trimEnd().split("\n\n");
  if (events.pop() !== "data: [DONE]") throw new Error(`seed ${seed}: the stream ends with ${events.at(-1)}`);
  return events.map((event) => JSON.parse(event.slice("data: ".length)).choices[0].text as string).join("");
}

test("many streaming clients: each text is that of its solo run, and memory does not grow", {
  timeout: 1000 * (effort.soakSeconds + 60),
}, async () => {
  const solo: (string | number)[] = [];
  for (let seed = 0; seed < SEEDS; seed++) solo.push(await stream(seed));
  expect(new Set(solo).size).toBe(SEEDS);

  const begin = performance.now();
  const seconds = (): number => (performance.now() - begin) / 1000;
  let served = 0;
  let refused = 0;
  const client = async (number: number): Promise<void> => {
    for (let i = number; seconds() < effort.soakSeconds; i++) {
      const seed = (7 * i) % SEEDS;
      const text = await stream(seed);
      if (typeof text === "string") {
        served++;
        if (text !== solo[seed]) throw new Error(`client ${number}, seed ${seed}: another text than its solo run's`);
      } else {
        refused++;
        await sleep(200);
      }
    }
  };
  const memory: { at: number; heap: number; resident: number }[] = [];
  const watch = async (): Promise<void> => {
    using heap = await openWorkerHeap(server);
    while (seconds() < effort.soakSeconds) {
      const used = await heap.used();
      memory.push({ at: seconds(), heap: used, resident: await residentBytes(server.process.pid!) });
      await sleep(SAMPLE_MS);
    }
  };
  await Promise.all([...Array.from({ length: effort.soakClients }, (_, i) => client(i)), watch()]);

  const third = (n: number, of: "heap" | "resident"): number => {
    const part = memory.filter(({ at }) => Math.floor((3 * at) / effort.soakSeconds) === n).map((sample) => sample[of]);
    return part.reduce((sum, bytes) => sum + bytes, 0) / part.length;
  };
  const thirds = (of: "heap" | "resident"): string =>
    [1, 2].map((n) => `${(third(n, of) / 1e6).toFixed(1)} MB`).join(" and ");
  console.log(
    `${effort.soakClients} clients, ${effort.soakSeconds} s: ${served} streams, ${refused} refused as overloaded; ` +
      `middle and last third: heap ${thirds("heap")}, workerd ${thirds("resident")} resident`,
  );
  expect(served).toBeGreaterThan(effort.soakClients);
  // The resident bytes say nothing: the local runtime keeps some 25 kB of every request, also of a Worker of one line.
  expect(third(2, "heap") / third(1, "heap")).toBeLessThanOrEqual(MOST_GROWTH);
  // What a sequence takes of the model's own memory is given back with it.
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toMatch(/^mamba_edge_active_sequences\{model="tiny@\w+"\} 0$/m);
  expect(server.output()).not.toMatch(/internal_error|Uncaught|"level":"error"/);
});

/** Of the workerd processes below one. */
async function residentBytes(parent: number): Promise<number> {
  const { stdout } = await run("ps", ["-A", "-o", "pid=,ppid=,rss=,comm="]);
  const processes = stdout
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .map(([pid, ppid, rss, ...command]) => ({
      pid: Number(pid),
      parent: Number(ppid),
      bytes: 1024 * Number(rss),
      runtime: command.join(" ").includes("workerd"),
    }));
  const below = new Set([parent]);
  for (let size = 0; size !== below.size; ) {
    size = below.size;
    for (const { pid, parent } of processes) if (below.has(parent)) below.add(pid);
  }
  const runtimes = processes.filter(({ pid, runtime }) => runtime && below.has(pid));
  if (runtimes.length === 0) throw new Error(`there is no workerd below process ${parent}`);
  return runtimes.reduce((sum, { bytes }) => sum + bytes, 0);
}
