import { describe, expect, test } from "vitest";
import type { Encoding } from "../../kernels/backend.ts";
import { planWasm } from "../../kernels/wasm/index.ts";
import { memoryReport } from "../../scripts/lib/package-memory.ts";
import type { CheckpointTensors } from "../../weights/checkpoint.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import { convertCheckpoint, outlinePackage } from "../../worker/engine/convert.ts";
import { memoryOfPackage } from "../../worker/engine/memory.ts";
import { Model } from "../../worker/engine/model.ts";
import { wasm } from "../support/backends.ts";
import { tinyCheckpoint } from "../support/checkpoints.ts";

/** A Mamba-1 of state-spaces' sizes, of which only the shapes can be read. */
function published(dim: number, layers: number, state = 16): { config: unknown; tensors: CheckpointTensors } {
  const inner = 2 * dim;
  const rank = Math.ceil(dim / 16);
  const shapes = new Map([
    ["backbone.embedding.weight", [50280, dim]],
    ...Array.from({ length: layers }, (_, i): [string, number[]][] => {
      const mixer = `backbone.layers.${i}.mixer`;
      return [
        [`backbone.layers.${i}.norm.weight`, [dim]],
        [`${mixer}.in_proj.weight`, [2 * inner, dim]],
        [`${mixer}.conv1d.weight`, [inner, 1, 4]],
        [`${mixer}.conv1d.bias`, [inner]],
        [`${mixer}.x_proj.weight`, [rank + 2 * state, inner]],
        [`${mixer}.dt_proj.weight`, [inner, rank]],
        [`${mixer}.dt_proj.bias`, [inner]],
        [`${mixer}.A_log`, [inner, state]],
        [`${mixer}.D`, [inner]],
        [`${mixer}.out_proj.weight`, [dim, inner]],
      ];
    }).flat(),
    ["backbone.norm_f.weight", [dim]],
  ] as [string, number[]][]);
  const config = {
    d_model: dim,
    n_layer: layers,
    vocab_size: 50280,
    ssm_cfg: {},
    rms_norm: true,
    tie_embeddings: true,
  };
  const read = (): never => {
    throw new Error("shapes are enough");
  };
  return { config, tensors: { names: () => [...shapes.keys()], shape: (name) => shapes.get(name)!, read } };
}

async function report(checkpoint: ReturnType<typeof published>, quantization: Encoding): Promise<string> {
  const outline = await outlinePackage(checkpoint, quantization);
  return memoryReport({ ...outline, quantization }, (other) => outlinePackage(checkpoint, other));
}

test.each([
  "f32",
  "q8",
  "q4",
] as const)("the outline of a %s package is what its manifest says", async (quantization) => {
  // Of several shards, so that their sizes are tried.
  const checkpoint = tinyCheckpoint({ vocab: 20_000, dim: 160, layers: 1 });
  const outline = await outlinePackage(checkpoint, quantization);
  const manifest = await convertCheckpoint(checkpoint, { name: "m", quantization, search: false }, new MemoryPackage());
  expect(outline.shards).toEqual(manifest.shards.map(({ bytes }) => ({ bytes })));
  expect(outline.tensors).toEqual(manifest.tensors.map(({ offset: _, ...tensor }) => tensor));
  expect(outline).toMatchObject({ architecture: "mamba", hyperparameters: manifest.hyperparameters });
});

test("what a package needs is what the engine opens it within, to the byte, with as many sequences as are said to fit", async () => {
  const source = new MemoryPackage();
  const manifest = await convertCheckpoint(tinyCheckpoint(), { name: "m", quantization: "q8" }, source);
  const memory = memoryOfPackage(manifest, planWasm);
  for (const sequences of [1, 8, 50]) {
    const memoryBudget = memory.need(sequences);
    (await Model.open(source, wasm, { memoryBudget, sequences })).dispose();
    await expect(Model.open(source, wasm, { memoryBudget: memoryBudget - 1, sequences })).rejects.toThrow(
      /the budget is/,
    );
  }
  const most = memory.mostSequences(memory.need(50));
  expect(most).toBe(50);
  expect(memory.mostSequences(memory.need(50) - 1)).toBe(49);
  expect(memory.mostSequences(memory.need(1) - 1)).toBe(0);
});

describe("what is said of a checkpoint of the shape of", () => {
  test("mamba-130m: in q8 that q4 fits, and how to run it here; in q4 that it fits", async () => {
    const shape = published(768, 24);
    expect(await report(shape, "q8")).toBe(
      `memory: 165.1 MB with 8 sequences at a time: does not fit a Worker, whose models may take 104.0 MB of its 128 MB
- it fits with --quant q4: 103.9 MB
- it runs as it is where there is more memory: on your own machine (npm start -- --var MEMORY_BUDGET_MB:166), and in browsers (within loadModel's memoryBudget)
`,
    );
    expect(await report(shape, "q4")).toBe(
      "memory: 103.9 MB with 8 sequences at a time: fits a Worker, whose models may take 104.0 MB of its 128 MB\n",
    );
  });

  test("a smaller one of larger states: that fewer sequences fit", async () => {
    expect(await report(published(768, 18, 64), "q4")).toMatch(
      /does not fit .*\n- it fits with MAX_SEQUENCES = [2-6] under \[vars\] of wrangler\.toml: (\d\d|10[0-3])\.\d MB\n- it runs as it is/,
    );
    expect(await report(published(768, 18, 64), "f32")).toMatch(
      /\n- it fits with --quant q4 and MAX_SEQUENCES = [2-6] under/,
    );
  });

  test("mamba-370m: that no setting makes it fit", async () => {
    expect(await report(published(1024, 48), "q8")).toMatch(
      /\n- no setting makes it fit: with --quant q4 and one sequence it needs 253\.1 MB\n- it runs as it is .*MEMORY_BUDGET_MB:465\)/,
    );
  });

  test("mamba-2.8b in f32, more than WebAssembly can address: that it runs in q8", async () => {
    expect(await report(published(2560, 64), "f32")).toMatch(/\n- it runs with --quant q8 .*MEMORY_BUDGET_MB:3171\)/);
  });
});
