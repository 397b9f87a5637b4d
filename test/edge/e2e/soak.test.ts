import { afterAll, beforeAll, expect, test } from "vitest";
import type { DevServer } from "../../../scripts/lib/dev-server.ts";
import { effort } from "../../effort.ts";
import { residentBytes } from "./runtime-processes.ts";
import { startTestServer } from "./server.ts";
import { openWorkerHeap } from "./worker-heap.ts";

const SEEDS = 24;
const SAMPLE_MS = 500;
/** Bytes in the last third of the time over those of the middle third. */
const MOST_GROWTH = 1.05;
/**
 * V8 lets a heap without a limit grow for tens of thousands of requests before it collects, also that of a Worker of one line. A deployed
 * isolate has 128 MB; so that one can see in seconds what grows for ever, every isolate of the local runtime has little. V8 aborts where
 * that does not suffice, and the Worker alone takes 10 MB.
 */
const V8_FLAGS = "--max-heap-size=32";
/** Requests after which the local runtime's own isolates are as large as they become, at most. */
const WARM_UP = 6_000;
const WARM_UP_STEP = 500;
const SETTLED = 1.015;
const sleep = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms));

let server: DevServer;
beforeAll(async () => {
  process.env.MINIFLARE_WORKERD_V8_FLAGS = V8_FLAGS;
  try {
    server = await startTestServer({});
  } finally {
    delete process.env.MINIFLARE_WORKERD_V8_FLAGS;
  }
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
  if (response.status === 429) {
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    return response.status;
  }
  if (response.status !== 200) throw new Error(`seed ${seed}: status ${response.status}: ${body}`);
  const events = body.trimEnd().split("\n\n");
  if (events.pop() !== "data: [DONE]") throw new Error(`seed ${seed}: the stream ends with ${events.at(-1)}`);
  return events.map((event) => JSON.parse(event.slice("data: ".length)).choices[0].text as string).join("");
}

/** Requests that compute nothing, until they take no more memory. */
async function warmUp(): Promise<void> {
  const resident = (): Promise<number> => residentBytes(server.process.pid!);
  for (let sent = 0, before = await resident(); sent < WARM_UP; sent += WARM_UP_STEP) {
    const ask = async (): Promise<void> => {
      for (let i = 0; i < WARM_UP_STEP / effort.soakClients; i++) await (await fetch(`${server.url}/healthz`)).text();
    };
    await Promise.all(Array.from({ length: effort.soakClients }, ask));
    const after = await resident();
    if (after / before < SETTLED) return;
    before = after;
  }
}

test("many streaming clients: each text is that of its solo run, and memory does not grow", {
  timeout: 1000 * (effort.soakSeconds + 240),
}, async () => {
  const solo: (string | number)[] = [];
  for (let seed = 0; seed < SEEDS; seed++) solo.push(await stream(seed));
  expect(new Set(solo).size).toBe(SEEDS);
  await warmUp();

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
  const memory: { at: number; heap: number; wasm: number; resident: number }[] = [];
  const watch = async (): Promise<void> => {
    using heap = await openWorkerHeap(server);
    while (seconds() < effort.soakSeconds) {
      const used = await heap.used();
      memory.push({ at: seconds(), ...used, resident: await residentBytes(server.process.pid!) });
      await sleep(SAMPLE_MS);
    }
  };
  await Promise.all([...Array.from({ length: effort.soakClients }, (_, i) => client(i)), watch()]).catch((cause) => {
    const last = JSON.stringify(memory.at(-1));
    throw new Error(`after ${served} streams, ${last}: ${cause}\n${server.output()}`, { cause });
  });

  const kinds = ["heap", "wasm", "resident"] as const;
  const third = (n: number, of: (typeof kinds)[number]): number => {
    const part = memory.filter(({ at }) => Math.floor((3 * at) / effort.soakSeconds) === n).map((sample) => sample[of]);
    return part.reduce((sum, bytes) => sum + bytes, 0) / part.length;
  };
  const megabytes = (of: (typeof kinds)[number]): string =>
    `${of} ${[1, 2].map((n) => (third(n, of) / 1e6).toFixed(1)).join(" and ")} MB`;
  console.log(
    `${effort.soakClients} clients, ${effort.soakSeconds} s: ${served} streams, ${refused} refused; ` +
      `middle and last third: ${kinds.map(megabytes).join(", ")}`,
  );
  expect(served).toBeGreaterThan(effort.soakClients);
  for (const kind of kinds) expect(third(2, kind) / third(1, kind), kind).toBeLessThanOrEqual(MOST_GROWTH);
  // What a sequence takes of the model's own memory is given back with it.
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toMatch(/^mamba_edge_active_sequences\{model="tiny@\w+"\} 0$/m);
  expect(server.output()).not.toMatch(/internal_error|Uncaught|"level":"error"/);
});
