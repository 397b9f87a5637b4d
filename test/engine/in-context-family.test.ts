import { describe, expect, test } from "vitest";
import { canonicalCheckpoint } from "../../worker/engine/architectures/index.ts";
import { inContextCheckpoint } from "../support/in-context.ts";

describe("another family in config.json", () => {
  test.each([
    ["gpt2", "mamba", /says family = "gpt2", and the tensors are of "mamba", layers of mamba: .* config\.json of this/],
    ["mamba", "gpt2", /"mamba", and the tensors are of "gpt2", layers of attention and mlp/],
    ["mamba", "mambaformer", /"mamba", and the tensors are of "tf-mamba", layers of mamba and attention/],
    ["tf-mamba", "s4d", /"tf-mamba", and the tensors are of "s4d", layers of s4d/],
    ["rnn", "s4-mamba", /"rnn", and the tensors are of "s4-mamba"/],
  ] as const)("%s, of tensors of %s", async (stated, family, message) => {
    const { config, tensors } = inContextCheckpoint(family);
    await expect(canonicalCheckpoint({ ...config, family: stated }, tensors)).rejects.toThrow(message);
    const whole = { model: { ...config, family: stated } };
    await expect(canonicalCheckpoint(whole, tensors)).rejects.toThrow(message);
  });

  test.each([
    ["tf-mamba", "mamba"],
    ["transformer", "gpt2"],
    [undefined, "mambaformer"],
  ] as const)("%s says nothing against tensors of %s", async (stated, family) => {
    const { config, tensors } = inContextCheckpoint(family);
    const { family: _, ...rest } = config;
    const read = canonicalCheckpoint(stated === undefined ? rest : { ...rest, family: stated }, tensors);
    expect((await read).architecture).toBe("in-context");
  });
});
