import { describe, expect, test } from "vitest";
import { blocksOf, canonicalCheckpoint, describeConfig } from "../../worker/engine/architectures/index.ts";
import type { TinyCheckpoint } from "../support/checkpoints.ts";
import { FAMILIES, type Family, inContextCheckpoint } from "../support/in-context.ts";

const read = ({ config, tensors }: TinyCheckpoint) => canonicalCheckpoint(config, tensors);
const zeros = (...shape: number[]) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });

describe("what a checkpoint's keys say", () => {
  test.each([
    ["gpt2", "read-in positions attention mlp attention mlp attention mlp attention mlp norm head"],
    ["mamba", "read-in mamba mamba mamba mamba norm head"],
    ["s4d", "read-in s4d s4d s4d s4d norm head"],
    ["s4-mamba", "read-in s4-mamba s4-mamba s4-mamba s4-mamba norm head"],
    ["standard-hybrid", "read-in positions attention mamba attention mamba norm head"],
    ["mambaformer", "read-in mamba attention mamba attention mamba norm head"],
  ] as const)("%s", async (family, kinds) => {
    const { architecture, hyperparameters } = await read(inContextCheckpoint(family));
    expect(architecture).toBe("in-context");
    expect(
      blocksOf(architecture, hyperparameters)
        .map((b) => b.kind)
        .join(" "),
    ).toBe(kinds);
  });

  test("without a config it holds 511 examples and a query", async () => {
    const { tensors } = inContextCheckpoint("mambaformer");
    expect((await canonicalCheckpoint({}, tensors)).hyperparameters).toMatchObject({ positions: 1024, heads: 8 });
  });

  test.each([
    [undefined, undefined],
    [true, undefined],
    [false, false],
  ])("interleave %s is kept as %s: ids are those of packages made before it was read", async (given, kept) => {
    const { config, tensors } = inContextCheckpoint("s4d");
    const { hyperparameters } = await canonicalCheckpoint({ ...config, interleave: given }, tensors);
    expect(hyperparameters.interleave).toBe(kept);
    expect("interleave" in hyperparameters).toBe(kept === false);
  });

  const points = (end: unknown) => ({ training: { curriculum: { points: { start: 11, end } } } });
  test.each<[what: string, changes: Record<string, unknown>, wanted: number | undefined]>([
    ["nothing", {}, undefined],
    ["a number of examples", { trained_examples: 7 }, 7],
    ["a curriculum's points, the last of which is the question", points(41), 40],
    ["both", { trained_examples: 7, ...points(41) }, 7],
    ["what has no pairs", { trained_examples: 7, interleave: false }, undefined],
  ])("with how many examples it was trained, from %s", async (_, changes, wanted) => {
    const { config, tensors } = inContextCheckpoint("mamba");
    expect((await canonicalCheckpoint({ ...config, ...changes }, tensors)).trainedExamples).toBe(wanted);
    // All of a config.yaml.
    const { training, ...model } = { ...config, ...changes } as Record<string, unknown>;
    const whole = await canonicalCheckpoint(
      { out_dir: "models", model, ...(training !== undefined && { training }) },
      tensors,
    );
    expect(whole.trainedExamples).toBe(wanted);
    expect(whole.hyperparameters.positions).toBe(120);
  });

  test.each([
    [{ trained_examples: 0 }, /says trained_examples = 0: it must be a whole number of examples from 1 to/],
    [{ trained_examples: "40" }, /says trained_examples = "40"/],
    [points(1), /says training\.curriculum\.points\.end = 1: it must be a whole number of points from 2 to/],
    [points("41"), /points\.end = "41"/],
  ])("examples of training that are none: %j", async (changes, message) => {
    const { config, tensors } = inContextCheckpoint("mamba");
    await expect(canonicalCheckpoint({ ...config, ...changes }, tensors)).rejects.toThrow(message);
  });

  test.each([
    ["mambaformer", 4, 8],
    ["mambaformer", 8, 8],
    ["standard-hybrid", 4, 8],
    ["standard-hybrid", 5, 8],
    ["gpt2", 4, 4],
    ["gpt2", undefined, 8],
    ["mamba", 8, 0],
  ] as const)("%s with n_head %s has %s heads: the official code hands n_head to GPT-2 alone", async (family, given, heads) => {
    const { config, tensors } = inContextCheckpoint(family);
    const { hyperparameters } = await canonicalCheckpoint({ ...config, n_head: given }, tensors);
    expect(hyperparameters.heads).toBe(heads);
  });

  test.each<[Family, string[]]>([
    ["gpt2", ["wte.weight", "h.0.attn.bias", "h.0.attn.masked_bias", "h.3.attn.bias"]],
    ["standard-hybrid", ["embedding.weight", "layers.0.mixer.bias", "layers.2.mixer.bias"]],
    ["mambaformer", ["layers.1.mixer.bias", "layers.1.mixer.masked_bias"]],
  ])("%s: tables and masks that the official code never reads are passed over", async (family, unused) => {
    const checkpoint = inContextCheckpoint(family);
    const plain = (await read(checkpoint)).tensors.map((t) => t.name);
    for (const name of unused) checkpoint.values.set(`_backbone.${name}`, zeros(1, 1, 8, 8));
    expect((await read(checkpoint)).tensors.map((t) => t.name)).toEqual(plain);
  });
});

describe("refused by name", () => {
  const broken: [string, Family, (c: TinyCheckpoint) => void, RegExp][] = [
    [
      "a missing tensor",
      "mamba",
      (c) => c.values.delete("_backbone.layers.1.norm.bias"),
      /lacks tensor "_backbone\.layers\.1\.norm\.bias"/,
    ],
    [
      "a misshapen tensor",
      "gpt2",
      (c) => c.values.set("_backbone.h.2.mlp.c_fc.weight", zeros(128, 32)),
      /"_backbone\.h\.2\.mlp\.c_fc\.weight" of the checkpoint must have shape \(32, 128\), has \(128, 32\)/,
    ],
    [
      "an unknown tensor",
      "s4d",
      (c) => c.values.set("_backbone.layers.0.mixer.s4.extra", zeros(1)),
      /1 tensors that no known in-context model has, such as "_backbone\.layers\.0\.mixer\.s4\.extra"/,
    ],
    [
      "a mask where there is no attention",
      "mambaformer",
      (c) => c.values.set("_backbone.layers.0.mixer.bias", zeros(1, 1, 8, 8)),
      /1 tensors that no known in-context model has, such as "_backbone\.layers\.0\.mixer\.bias"/,
    ],
    [
      "a layer without a mixer",
      "mamba",
      (c) => c.values.delete("_backbone.layers.2.mixer.x_proj.weight"),
      /layer 2 of the checkpoint has none of the mixers/,
    ],
    [
      "another size in config.json",
      "mamba",
      (c) => Object.assign(c.config, { n_dims: 20 }),
      /n_dims = 20, the tensors say 5/,
    ],
    [
      "heads that do not divide",
      "gpt2",
      (c) => Object.assign(c.config, { n_head: 5 }),
      /heads .* must divide dim 32, is 5/,
    ],
    [
      "a hybrid's width that 8 heads do not divide",
      "mambaformer",
      (c) => {
        const { config, values } = inContextCheckpoint("mambaformer", { dim: 20 });
        Object.assign(c.config, config, { n_head: 4 });
        for (const [name, tensor] of values) c.values.set(name, tensor);
      },
      /width n_embd is 20: attention of the hybrids has 8 heads .* must divide the width/,
    ],
  ];
  test.each(broken)("%s", async (_, family, breakIt, message) => {
    const checkpoint = inContextCheckpoint(family);
    breakIt(checkpoint);
    await expect(read(checkpoint)).rejects.toThrow(message);
  });

  describe("a model of tokens", () => {
    const TOKENS =
      /^the checkpoint is of a model of tokens: "_read_in.weight" is an embedding of 7 tokens, .*\(vocab_size 7\)\. .* supported where they are fed vectors \(vocab_size -1\), .* transposed \(32, 7\)/;
    const ofTokens = (family: Family): TinyCheckpoint => {
      const checkpoint = inContextCheckpoint(family, { inputs: 7, outputs: 7 });
      for (const end of ["_read_in", "_read_out"]) {
        checkpoint.values.delete(`${end}.bias`);
        checkpoint.values.set(`${end}.weight`, zeros(7, 32));
      }
      Object.assign(checkpoint.config, { vocab_size: 7, interleave: false });
      return checkpoint;
    };

    test.each(FAMILIES)("%s, with config.json and without", async (family) => {
      const checkpoint = ofTokens(family);
      await expect(read(checkpoint)).rejects.toThrow(TOKENS);
      await expect(canonicalCheckpoint({}, checkpoint.tensors)).rejects.toThrow(TOKENS);
      expect(() => describeConfig(checkpoint.tensors)).toThrow(TOKENS);
      // safetensors keeps one of two tensors that share their memory.
      checkpoint.values.delete("_read_out.weight");
      await expect(read(checkpoint)).rejects.toThrow(TOKENS);
    });

    test("by config.json only", async () => {
      const { config, tensors } = inContextCheckpoint("mamba");
      await expect(canonicalCheckpoint({ ...config, vocab_size: 7 }, tensors)).rejects.toThrow(
        /says vocab_size = 7, a model of tokens, .* do not belong together; vectors are vocab_size = -1/,
      );
      expect((await canonicalCheckpoint({ ...config, vocab_size: -1 }, tensors)).architecture).toBe("in-context");
    });

    test("as one of one-hot vectors, as the error says, it is read", async () => {
      const checkpoint = ofTokens("mamba");
      checkpoint.values.set("_read_in.weight", zeros(32, 7));
      checkpoint.values.set("_read_in.bias", zeros(32));
      checkpoint.values.set("_read_out.bias", zeros(7));
      Object.assign(checkpoint.config, { n_dims: 7, vocab_size: -1 });
      expect((await read(checkpoint)).hyperparameters).toMatchObject({ inputs: 7, outputs: 7, interleave: false });
    });
  });

  test.each([
    [
      "rnn_layers.0.weight_ih_l0",
      /no layers that are known, but "rnn_layers\.0\.weight_ih_l0": .* gpt2, mamba, s4-mamba, s4d and tf-mamba/,
    ],
    [undefined, /has no layers: of mambaformer-icl/],
  ])("layers of another family: %s", async (other, message) => {
    const checkpoint = inContextCheckpoint("mamba");
    for (const name of [...checkpoint.values.keys()])
      if (name.startsWith("_backbone.layers.")) checkpoint.values.delete(name);
    if (other !== undefined) {
      checkpoint.values.delete("_backbone.norm_f.weight");
      checkpoint.values.delete("_backbone.norm_f.bias");
      checkpoint.values.set(other, zeros(1));
    }
    await expect(read(checkpoint)).rejects.toThrow(message);
  });

  test("an interleave that is neither true nor false", async () => {
    const { config, tensors } = inContextCheckpoint("mamba");
    await expect(canonicalCheckpoint({ ...config, interleave: "no" }, tensors)).rejects.toThrow(
      /says interleave = "no": it must be true .* or false/,
    );
  });

  test.each([
    ["interleave", true],
    ["layers", "mamba hyena"],
    ["layers", 3],
    ["dim", 0],
    ["positions", 1.5],
    ["learnedPositions", 1],
    ["eps", 0],
  ])("hyperparameter %s = %s", async (key, value) => {
    for (const family of FAMILIES) {
      const { hyperparameters } = await read(inContextCheckpoint(family));
      expect(() => blocksOf("in-context", { ...hyperparameters, [key]: value })).toThrow(`hyperparameter ${key}`);
    }
  });
});
