import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { MemoryPackage } from "../../weights/memory.ts";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";
import { blocksOf, canonicalCheckpoint } from "../../worker/engine/architectures/index.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { observe } from "../../worker/engine/in-context.ts";
import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { everyBackend } from "../support/backends.ts";
import { FAMILIES, inContextCheckpoint } from "../support/in-context.ts";

/* Layers whose biases are switched to what the official models have not: test/golden/icl-biases/make.py. */
const FOLDER = "test/golden/icl-biases";
const { cases } = JSON.parse(readFileSync(`${FOLDER}/golden.json`, "utf8")) as {
  cases: { xs: number[][]; ys: number[]; predictions: number[] }[];
};

test.each(everyBackend)("biases of other constructors: what NumPy computes in float64, on %s", async (_, backend) => {
  const memory = new MemoryPackage();
  const checkpoint = await openCheckpoint(FOLDER);
  const { hyperparameters } = await convertCheckpoint(checkpoint, { name: "biases", quantization: "f32" }, memory);
  expect(hyperparameters).toMatchObject({ layers: "mamba attention s4-mamba", bias: true });
  expect(hyperparameters).toMatchObject({ convBias: false, attentionBias: false });
  const model = await Model.load(memory, backend);
  for (const { xs, ys, predictions } of cases) {
    const sequence = new Sequence(model);
    const said = await observe(
      sequence,
      xs.map((x, i) => ({ x, y: ys[i]! })),
    );
    const largest = Math.max(...predictions.map(Math.abs));
    for (const [i, y] of predictions.entries()) expect(Math.abs(said[i]![0]! - y) / largest).toBeLessThan(2e-5);
    sequence.dispose();
  }
});

test.each(FAMILIES)("%s with the official biases says nothing of them: ids stay", async (family) => {
  const { config, tensors } = inContextCheckpoint(family);
  const { hyperparameters } = await canonicalCheckpoint(config, tensors);
  for (const key of ["bias", "convBias", "attentionBias"]) expect(hyperparameters).not.toHaveProperty(key);
});

describe("refused by name", () => {
  test.each([
    ["layers.2.mixer.conv1d.bias", "mamba"],
    ["layers.1.mixer.c_attn.bias", "mambaformer"],
    ["layers.2.mixer.c_proj.bias", "standard-hybrid"],
    ["h.1.attn.c_attn.bias", "gpt2"],
  ] as const)("%s that one layer lacks and others have", async (name, family) => {
    const { config, values, tensors } = inContextCheckpoint(family);
    values.delete(`_backbone.${name}`);
    await expect(canonicalCheckpoint(config, tensors)).rejects.toThrow(`lacks tensor "_backbone.${name}"`);
  });

  test("a bias that one layer has and others lack", async () => {
    const { config, values, tensors } = inContextCheckpoint("s4-mamba");
    values.set("_backbone.layers.1.mixer.out_proj.bias", { shape: [32], data: new Float32Array(32) });
    await expect(canonicalCheckpoint(config, tensors)).rejects.toThrow(
      /lacks tensor "_backbone\.layers\.0\.mixer\.in_proj/,
    );
  });

  test.each([
    ["bias", false],
    ["convBias", true],
    ["attentionBias", 0],
  ])("hyperparameter %s = %s", async (key, value) => {
    const { config, tensors } = inContextCheckpoint("mamba");
    const { hyperparameters } = await canonicalCheckpoint(config, tensors);
    expect(() => blocksOf("in-context", { ...hyperparameters, [key]: value })).toThrow(`hyperparameter ${key}`);
  });
});
