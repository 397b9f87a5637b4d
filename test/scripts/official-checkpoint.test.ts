import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../scripts/lib/open-checkpoint.ts";
import { openModel } from "../../scripts/lib/open-model.ts";
import { predictInContext } from "../../scripts/lib/predict-in-context.ts";
import { canonicalCheckpoint, describeConfig } from "../../worker/engine/architectures/index.ts";
import { tinyCheckpoint } from "../support/checkpoints.ts";
import { type Family, inContextCheckpoint } from "../support/in-context.ts";

/* A run of the official training, as test/golden/icl-state/make.py leaves one: state.pt and config.yaml. */
const RUN = "test/golden/icl-state";
const golden = JSON.parse(readFileSync(`${RUN}/golden.json`, "utf8"));
const work = mkdtempSync(join(tmpdir(), "mamba-edge-official-"));
afterAll(() => rmSync(work, { recursive: true }));

const jsonIn = (text: string): Record<string, unknown> => JSON.parse(/\{".*\}/.exec(text)![0]);

test.each([
  "state.pt",
  "wrapped.pt",
])("%s: without config.json the error says what it must hold, and with that it predicts as PyTorch", async (file) => {
  const error: Error = await openCheckpoint(join(RUN, file)).then(
    () => new Error("it was opened"),
    (e) => e,
  );
  expect(error.name).toBe("CheckpointError");
  expect(error.message).toMatch(
    /no config\.json in test\/golden\/icl-state, .* \(config\.yaml, which is there, is not read\); write there, as JSON, .* "model" \(family, n_dims, .*\)/,
  );
  expect(error.message).toMatch(/, and n_positions, which they do not tell\. All of config\.yaml as JSON will do too/);
  const config = jsonIn(error.message);
  expect(config).toEqual({
    family: "tf-mamba",
    n_dims: 3,
    n_embd: 8,
    n_layer: 2,
    mixed_attn: "mambaformer",
    interleave: true,
    vocab_size: -1,
  });

  copyFileSync(join(RUN, file), join(work, file));
  writeFileSync(join(work, "config.json"), JSON.stringify({ ...config, n_positions: 101 }));
  const model = await openModel(join(work, file), { backend: "reference" });
  const seen = await predictInContext(model, golden);
  golden.cases.forEach(({ predictions }: { predictions: number[] }, c: number) => {
    predictions.forEach((y, i) => {
      expect(Math.abs((seen[c]!.predictions[i] as number) - y)).toBeLessThan(1e-5);
    });
  });
});

describe("what the tensors tell of a config.json", () => {
  test.each<[Family, Record<string, unknown>, string]>([
    ["gpt2", { family: "gpt2", n_layer: 4, n_positions: 60 }, "n_head"],
    ["mamba", { family: "mamba", n_layer: 4 }, ""],
    ["s4d", { family: "s4d", n_layer: 4 }, ""],
    ["s4-mamba", { family: "s4-mamba", n_layer: 4 }, ""],
    ["standard-hybrid", { family: "tf-mamba", n_layer: 4, n_positions: 60, mixed_attn: "standard" }, ""],
    ["mambaformer", { family: "tf-mamba", n_layer: 4, mixed_attn: "mambaformer" }, "n_positions"],
  ])("%s", async (family, wanted, untold) => {
    const { tensors } = inContextCheckpoint(family);
    const text = describeConfig(tensors)!;
    expect(jsonIn(text)).toEqual({ n_dims: 5, n_embd: 32, interleave: true, vocab_size: -1, ...wanted });
    expect(/, and (\w+), which they do not tell\./.exec(text)?.[1] ?? "").toBe(untold);
    await canonicalCheckpoint(jsonIn(text), tensors);
  });

  test("as many outputs as inputs are of a model without interleaving, of one input not", () => {
    const told = (inputs: number, outputs: number): unknown =>
      jsonIn(describeConfig(inContextCheckpoint("s4d", { inputs, outputs }).tensors)!).interleave;
    expect([told(5, 5), told(5, 3), told(1, 1)]).toEqual([false, true, true]);
  });

  test("nothing of other models: their error is as before", () => {
    expect(describeConfig(tinyCheckpoint().tensors)).toBeUndefined();
  });
});

test("a config.yaml that was copied to config.json: the same", async () => {
  const folder = mkdtempSync(join(work, "yaml-"));
  copyFileSync(join(RUN, "state.pt"), join(folder, "state.pt"));
  copyFileSync(join(RUN, "config.yaml"), join(folder, "config.json"));
  await expect(openCheckpoint(folder)).rejects.toThrow(
    /config\.json in .* is YAML, and only JSON is read; write there, as JSON, .* "model" \(family, .*\{"family":"tf-mamba",/,
  );
});

test("weights that cannot be read either: the error is of config.json", async () => {
  const folder = mkdtempSync(join(work, "bad-"));
  writeFileSync(join(folder, "state.pt"), "no zip");
  await expect(openCheckpoint(folder)).rejects.toThrow(/no config\.json in .* put it beside the weights$/);
});
