import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SAMPLED } from "../../kernels/backend.ts";
import type { Tuning } from "../../kernels/webgpu/index.ts";
import { BASELINE, type Variants } from "../../kernels/webgpu/variants.ts";
import type { CheckResult } from "../../scripts/bench/webgpu/checks.ts";
import { distance } from "../../scripts/bench/webgpu/models.ts";
import { openModel } from "../../scripts/lib/open-model.ts";
import { openPageBackend, type PageBackend, type PageExecutable } from "../../scripts/lib/webgpu-page/index.ts";
import type { Model } from "../../worker/engine/model.ts";

/** Chromium compiles for the CPU, seconds a pipeline: one page, one device, and as few shapes as meet every kernel's edges. */
const SLOW = 600_000;

interface Outcome {
  readonly results: readonly CheckResult[];
  readonly pipelines: number;
  readonly liveBytes: number;
  readonly failures: readonly string[];
  readonly variants: {
    readonly offered: Variants;
    readonly notes: readonly string[];
    readonly refused: readonly string[];
    readonly kept: Variants;
  };
  readonly shapes: { readonly notes: readonly string[]; readonly remembered: Tuning };
}

const golden = new URL("../golden/mamba-tiny", import.meta.url).pathname;

let backend: PageBackend;
let outcome: Outcome;
let model: Model;

beforeAll(async () => {
  backend = await openPageBackend();
  outcome = await backend.evaluate<Outcome>(new URL("webgpu-page.ts", import.meta.url));
  model = await openModel(golden, { backend });
}, SLOW);

afterAll(() => backend?.close());

describe("every kernel against the reference, on odd shapes", () => {
  test("all agree", () => {
    expect(outcome.results.length).toBeGreaterThanOrEqual(101);
    expect(outcome.results.filter((r) => !r.ok)).toEqual([]);
  });

  test("memory is given back", () => {
    expect(outcome.liveBytes).toBe(0);
  });

  test("pipelines are shared by what they have in common", () => {
    expect(outcome.pipelines).toBeLessThanOrEqual(24);
  });
});

test("what a device has beyond core WGSL is found, tried against the baseline, and refused where it differs", () => {
  const { offered, notes, refused, kept } = outcome.variants;
  expect(offered).toEqual({ subgroup: 4, packed: true, half: "f32" });
  // Of a model in f32, which has no int8 dots.
  expect(notes).toEqual([
    expect.stringMatching(/^subgroups: [\d.]+ times the speed$/),
    expect.stringMatching(/^f16: [\d.]+ times the speed$/),
  ]);
  expect(refused).toEqual([expect.stringMatching(/^subgroups: \S+ of the largest logit apart, 0.0001 is allowed$/)]);
  expect(kept).toEqual(BASELINE);
});

test("other shapes of workgroups compute the same and are timed; what is remembered is used without", () => {
  const { notes, remembered } = outcome.shapes;
  expect(notes).toEqual([
    expect.stringMatching(/^8 rows, 128 channels: [\d.]+ times the speed$/),
    expect.stringMatching(/^64 rows, 8 channels: [\d.]+ times the speed$/),
    expect.stringMatching(/^products of 4 × 8: [\d.]+ times the speed$/),
  ]);
  expect(remembered.kept).toEqual(["64 rows, 8 channels"]);
  expect(remembered.shapes).toMatchObject({ rows: 64, channels: 8 });
  expect(remembered.notes).toEqual([]);
});

test("a lost device, a refused pipeline and a want of memory are told apart", () => {
  expect(outcome.failures).toEqual(["device lost", "pipeline", "out of memory"]);
});

describe("mamba-tiny", () => {
  const feed = async (tokens: readonly number[], lengths: readonly number[]): Promise<Float32Array> => {
    const state = model.executable.createState();
    let at = 0;
    let logits = new Float32Array(0);
    for (const length of lengths) {
      const span = { state, tokens: tokens.slice(at, at + length), logits: "last" } as const;
      const [output] = await model.executable.run([span]).read();
      logits = output!.logits as Float32Array<ArrayBuffer>;
      at += length;
    }
    state.dispose();
    return logits;
  };

  test(
    "whole and step by step within 2e-4 of the golden logits",
    async () => {
      const { prompts } = JSON.parse(await readFile(`${golden}/golden.json`, "utf8")) as {
        prompts: { tokens: number[]; last_logits: number[] }[];
      };
      for (const { tokens, last_logits } of prompts) {
        const expected = Float32Array.from(last_logits);
        expect(distance(await feed(tokens, [tokens.length]), expected)).toBeLessThan(2e-4);
        expect(distance(await feed(tokens, Array(tokens.length).fill(1)), expected)).toBeLessThan(2e-4);
      }
    },
    SLOW,
  );

  test("a token takes two dispatches a block and four more, greedy or drawn", async () => {
    const { executable } = model;
    const state = executable.createState();
    const greedy = { temperature: 0, topK: 1, topP: 1, minP: 0, seed: 1, position: 0 };
    await executable.run([{ state, tokens: [1], sample: greedy }]).read();
    for (const sample of [greedy, { ...greedy, temperature: 1, topK: 0, topP: 0.9 }]) {
      const pass = (executable as PageExecutable).run([{ state, tokens: SAMPLED, sample }]);
      await pass.read();
      expect(pass.dispatches).toBe(2 * (model.blocks.length - 3) + 4);
    }
    state.dispose();
  });
});
