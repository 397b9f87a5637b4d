import { describe, expect, test } from "vitest";
import { matrixNames, tensorShapes } from "../../kernels/blocks.ts";
import { takesImages } from "../../kernels/image-blocks.ts";
import { VMAMBA_T } from "../../scripts/lib/random-model.ts";
import { encodedBytes } from "../../weights/layout.ts";
import { blocksOf } from "../../worker/engine/architectures/index.ts";
import { DEFAULT_MEMORY_BUDGET } from "../../worker/engine/memory.ts";
import { reference, wasm, wasmBaseline } from "../support/backends.ts";
import { roundingReference } from "../support/rounding-reference.ts";
import { compileImages, OTHER_STATE, randomImage, randomVmamba, see, V0_ODD, V2_ODD } from "./image-fixtures.ts";
import { differences, distance } from "./wasm-fixtures.ts";

const sizes = [
  ["v0, gated, N = 16, patch merging", V0_ODD],
  ["v2, N = 1, MLPs", V2_ODD],
  ["N = 3", OTHER_STATE],
] as const;

describe.each(sizes)("VMamba on wasm: %s", (_, hyperparameters) => {
  const channels = hyperparameters.channels as number;
  const images = [
    [23, 37],
    [4, 61],
    [40, 9],
    [5, 5],
  ].map(([h, w], i) => randomImage(channels, h!, w!, 9 + i));
  const observed = randomVmamba(hyperparameters).blocks.findLastIndex((b) => b.kind === "ss2d");

  test("computes what the reference computes, on images of any shape, logits and responses", async () => {
    const model = randomVmamba(hyperparameters);
    const ours = await see(await compileImages(wasm, model), images, observed);
    const theirs = await see(await compileImages(reference, model), images, observed);
    ours.forEach((output, i) => {
      expect(distance(output.logits, theirs[i]!.logits)).toBeLessThan(1e-5);
      expect(output.responses).toMatchObject({
        height: theirs[i]!.responses!.height,
        width: theirs[i]!.responses!.width,
      });
      expect(distance(output.responses!.values, theirs[i]!.responses!.values)).toBeLessThan(1e-5);
    });
  });

  test.each(["f32", "q8"] as const)("%s: relaxed and baseline SIMD give the same bits", async (encoding) => {
    const model = randomVmamba(hyperparameters, encoding);
    const relaxed = await see(await compileImages(wasm, model), images);
    const baseline = await see(await compileImages(wasmBaseline, model), images);
    relaxed.forEach((output, i) => {
      expect(differences(output.logits, baseline[i]!.logits)).toBe(0);
    });
  });

  test.each([
    "f32",
    "q8",
  ] as const)("%s: a batch, a single image and an observed one give the same bits", async (encoding) => {
    const executable = await compileImages(wasm, randomVmamba(hyperparameters, encoding));
    const batch = await see(executable, images, observed);
    for (const [i, image] of images.entries()) {
      const [alone] = await see(executable, [image]);
      expect(differences(batch[i]!.logits, alone!.logits)).toBe(0);
    }
  });

  test("q8 computes what the reference computes from the same weights and equally rounded activations", async () => {
    const model = randomVmamba(hyperparameters, "q8");
    const ours = await see(await compileImages(wasm, model), images, observed);
    const theirs = await see(await compileImages(roundingReference, model), images, observed);
    ours.forEach((output, i) => {
      expect(distance(output.logits, theirs[i]!.logits)).toBeLessThan(1e-5);
      expect(distance(output.responses!.values, theirs[i]!.responses!.values)).toBeLessThan(1e-5);
    });
  });
});

describe("an image model on wasm", () => {
  const model = randomVmamba(V2_ODD);

  test("refuses an image that needs more memory than it was compiled for, and takes a flat one that does not", async () => {
    const executable = await compileImages(wasm, model);
    expect(() => executable.images!.begin([randomImage(1, 65, 64)])).toThrow(
      /65 × 64 needs more memory than one of 64 × 64/,
    );
    expect((await see(executable, [randomImage(1, 16, 200)]))[0]!.logits).toHaveLength(5);
  });

  test("has no sequences, and a pass ends when another opens or the executable is disposed", async () => {
    const executable = await compileImages(wasm, model);
    expect(takesImages(executable.blocks)).toBe(true);
    expect(() => executable.createState()).toThrow(/has no sequences/);
    const pass = executable.images!.begin([randomImage(1, 8, 8)]);
    await expect(pass.read()).rejects.toThrow(/only 0 of/);
    executable.images!.begin([randomImage(1, 8, 8)]);
    expect(() => pass.advance()).toThrow(/another pass was opened/);
    executable.dispose();
    expect(() => executable.images!.begin([randomImage(1, 8, 8)])).toThrow(/disposed/);
  });

  test("runs no block before its tensors are there", async () => {
    const executable = await wasm.compile(model.blocks, model.tensors);
    expect(() => executable.images!.begin([randomImage(1, 8, 8)]).advance()).toThrow(/block 0 is not loaded/);
  });
});

test("VMamba-T (s1l8, 30M) in q8 fits an isolate with a batch of 8 images", () => {
  const blocks = blocksOf("vmamba", VMAMBA_T);
  const matrices = new Set(blocks.flatMap(matrixNames));
  const tensors = new Map(
    blocks.flatMap((block) =>
      [...tensorShapes(block)].map(([name, shape]) => {
        const encoding = matrices.has(name) ? "q8" : "f32";
        return [name, { shape, encoding, bytes: encodedBytes(shape, encoding) }] as const;
      }),
    ),
  );
  const { weights, activations } = wasm.plan(blocks, tensors);
  expect(weights + activations).toBeLessThan(DEFAULT_MEMORY_BUDGET);
});
