import { describe, expect, test } from "vitest";
import type { Backend } from "../../kernels/backend.ts";
import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { PackageLoad, readManifest } from "../../weights/loader.ts";
import { failoverBackend } from "../../worker/browser/host/failover.ts";
import { generate } from "../../worker/engine/generate.ts";
import { Model } from "../../worker/engine/model.ts";
import type { SamplingOptions } from "../../worker/engine/sampling.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { tinyPackage } from "../support/models.ts";
import { queued } from "../support/queued.ts";
import { type Loss, mortal } from "./mortal.ts";

const wasm = await createWasmBackend(await loadWasmModules());
const memory = await tinyPackage({ tied: false });

async function open(passes: number, loss: Loss, primary: Backend = wasm): Promise<{ model: Model; causes: unknown[] }> {
  const causes: unknown[] = [];
  const backend = failoverBackend(mortal(primary, passes, loss), {
    fallback: async () => wasm,
    reload: async (executable) => {
      for await (const _ of new PackageLoad(await readManifest(memory), executable).lead(memory));
    },
    onFailover: (cause) => causes.push(cause),
  });
  return { model: await Model.load(memory, backend), causes };
}

async function text(
  sequence: Sequence,
  prompt: readonly number[],
  maxTokens: number,
  sampling: SamplingOptions = { seed: 5 },
): Promise<string> {
  const pieces = generate(sequence, { prompt, maxTokens, sampling });
  let all = "";
  let next = await pieces.next();
  for (; !next.done; next = await pieces.next()) all += next.value.text;
  return all + next.value.tail.text;
}

const prompt = Array.from("Once upon", (c) => c.charCodeAt(0));
const whole = await text(new Sequence(await Model.load(memory, wasm)), prompt, 300);

describe("a generation goes on with the same text when the backend is lost", () => {
  // 256 tokens are a checkpoint.
  test.each([
    { passes: 0, loss: "begin" },
    { passes: 0, loss: "read" },
    { passes: 1, loss: "begin" },
    { passes: 40, loss: "read" },
    { passes: 270, loss: "read" },
    { passes: 2, loss: "state" },
  ] as const)("after $passes passes, at $loss", async ({ passes, loss }) => {
    const { model, causes } = await open(passes, loss);
    expect(await text(new Sequence(model), prompt, 300)).toBe(whole);
    expect(causes.map(String)).toEqual(["Error: device lost"]);
  });
});

const fewer = { seed: 5, temperature: 1.2, topK: 30 };
const chosen = await text(new Sequence(await Model.load(memory, wasm)), prompt, 600, fewer);

describe("a backend that chooses tokens, the engine some behind, is lost with several of them on their way", () => {
  test.each([
    { passes: 2, loss: "begin" },
    { passes: 1, loss: "read" },
    { passes: 40, loss: "begin" },
    { passes: 40, loss: "read" },
    { passes: 300, loss: "read" },
    { passes: 64, loss: "read" },
    { passes: 100, loss: "state" },
  ] as const)("after $passes passes, at $loss", async ({ passes, loss }) => {
    const counts = { chosen: 0, flying: 0 };
    const { model, causes } = await open(passes, loss, queued(wasm, counts));
    const sequence = new Sequence(model);
    const first = await text(sequence, prompt, 100, fewer);
    expect(first + (await text(sequence, [], 500, fewer))).toBe(chosen);
    expect(causes.map(String)).toEqual(["Error: device lost"]);
    expect(counts.chosen).toBeGreaterThan(0);
  });
});

test("forks and sequences at rest come along", async () => {
  const { model, causes } = await open(30, "read");
  const sequence = new Sequence(model);
  await text(sequence, prompt, 10);
  const fork = sequence.fork();
  const rest = await text(sequence, [], 40);
  expect(causes.length).toBe(1);
  expect(await text(fork, [], 40)).toBe(rest);
  expect(await fork.state.read()).toEqual(await sequence.state.read());
});

test("when the fallback fails too, its error is the caller's", async () => {
  const backend = failoverBackend(mortal(wasm, 1, "read"), {
    fallback: async () => {
      throw new RangeError("no memory");
    },
    reload: async () => {},
    onFailover: () => {},
  });
  const model = await Model.load(memory, backend);
  await expect(text(new Sequence(model), prompt, 10)).rejects.toThrow("no memory");
});
