import { describe, expect, test } from "vitest";
import { blocksOf, canonicalCheckpoint } from "../../worker/engine/architectures/index.ts";
import { type TinySizes, tensorsOf, tinyCheckpoint } from "../support/checkpoints.ts";

const read = ({ config, tensors }: ReturnType<typeof tinyCheckpoint>) => canonicalCheckpoint(config, tensors);

describe("Mamba-1 checkpoints", () => {
  const shapes: [string, Partial<TinySizes>][] = [
    ["the usual", {}],
    ["odd everywhere", { dim: 19, vocab: 517, state: 5, conv: 3, expand: 3, dtRank: 3 }],
    ["biases, untied", { bias: true, convBias: false, tied: false }],
  ];
  test.each(shapes)("%s: both layouts mean the same tensors and blocks", async (_, sizes) => {
    const [hf, original] = [
      await read(tinyCheckpoint({ ...sizes, layout: "hf" })),
      await read(tinyCheckpoint({ ...sizes, layout: "original" })),
    ];
    expect(original.hyperparameters).toEqual(hf.hyperparameters);
    expect(original.tensors.map((t) => t.name)).toEqual(hf.tensors.map((t) => t.name));
    for (const [i, tensor] of hf.tensors.entries())
      expect(await original.tensors[i]!.read()).toEqual(await tensor.read());
    expect(blocksOf("mamba", hf.hyperparameters)).toHaveLength(2 + 3);
  });

  test("A is −exp(A_log)", async () => {
    const checkpoint = tinyCheckpoint();
    const A = (await read(checkpoint)).tensors.find((t) => t.name === "layers.1.A")!;
    const log = checkpoint.values.get("backbone.layers.1.mixer.A_log")!.data;
    expect((await A.read())[7]).toBeCloseTo(-Math.exp(log[7]!), 5);
  });

  test("a head equal to the embedding is tied where the config is silent", async () => {
    const { config, values } = tinyCheckpoint();
    delete config.tie_word_embeddings;
    values.set("lm_head.weight", values.get("backbone.embeddings.weight")!);
    expect((await canonicalCheckpoint(config, tensorsOf(values))).hyperparameters.tied).toBe(true);
    values.set("lm_head.weight", { shape: [260, 24], data: new Float32Array(260 * 24) });
    expect((await canonicalCheckpoint(config, tensorsOf(values))).hyperparameters.tied).toBe(false);
  });

  const X_PROJ = "backbone.layers.1.mixer.x_proj.weight";
  const broken: [string, (c: ReturnType<typeof tinyCheckpoint>) => void, RegExp][] = [
    [
      "a missing tensor",
      (c) => c.values.delete(X_PROJ),
      /lacks tensor "backbone\.layers\.1\.mixer\.x_proj\.weight", of shape \(34, 48\)/,
    ],
    [
      "a misshapen tensor",
      (c) => c.values.set(X_PROJ, { shape: [34, 47], data: new Float32Array(34 * 47) }),
      /must have shape \(34, 48\), has \(34, 47\)/,
    ],
    [
      "an unknown tensor",
      (c) => c.values.set("backbone.layers.0.mixer.extra", { shape: [1], data: new Float32Array(1) }),
      /1 tensors that Mamba-1 does not have, such as "backbone\.layers\.0\.mixer\.extra"/,
    ],
    [
      "another size in config.json",
      (c) => Object.assign(c.config, { hidden_size: 32 }),
      /hidden_size = 32, the tensors say 24/,
    ],
    [
      "a bias that is not there",
      (c) => Object.assign(c.config, { use_bias: true }),
      /use_bias = true, the tensors say false/,
    ],
    [
      "an untied head that is not there",
      (c) => Object.assign(c.config, { tie_word_embeddings: false }),
      /lacks tensor "lm_head\.weight"/,
    ],
    ["another activation", (c) => Object.assign(c.config, { hidden_act: "gelu" }), /hidden_act = "gelu"/],
    [
      "another model type",
      (c) => Object.assign(c.config, { model_type: "falcon_mamba" }),
      /no known architecture.*falcon_mamba/,
    ],
    [
      "Mamba-2",
      (c) => Object.assign(c.config, { model_type: undefined, ssm_cfg: { layer: "Mamba2" } }),
      /no known architecture/,
    ],
    [
      "fewer layers in config.json",
      (c) => Object.assign(c.config, { num_hidden_layers: 1 }),
      /num_hidden_layers = 1, the tensors say 2/,
    ],
  ];
  test.each(broken)("%s is refused by name", async (_, breakIt, message) => {
    const checkpoint = tinyCheckpoint();
    breakIt(checkpoint);
    await expect(read(checkpoint)).rejects.toThrow(message);
  });

  test.each([
    ["dim", 0],
    ["layers", 1.5],
    ["vocab", "many"],
    ["tied", 1],
    ["eps", -1],
  ])("a package's hyperparameter %s = %s is refused", async (key, value) => {
    const { hyperparameters } = await read(tinyCheckpoint());
    expect(() => blocksOf("mamba", { ...hyperparameters, [key]: value })).toThrow(`hyperparameter ${key}`);
  });

  test("an architecture of the future is refused", () => {
    expect(() => blocksOf("mamba-9", {})).toThrow(/"mamba-9"; this version knows mamba/);
  });
});
