import { describe, expect, test } from "vitest";
import { type Block, matrixNames, tensorShapes } from "../../kernels/blocks.ts";
import { PackageError } from "../../weights/errors.ts";
import { encodedBytes } from "../../weights/layout.ts";
import { readManifest } from "../../weights/loader.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import { decodeTensor, relativeRms } from "../../weights/quantize.ts";
import { blocksOf } from "../../worker/engine/architectures/index.ts";
import { type ConversionOptions, convertCheckpoint, keptQ8 } from "../../worker/engine/convert.ts";
import { tinyCheckpoint } from "../support/checkpoints.ts";

const rest = { state: 16, conv: 4, eps: 1e-5, bias: false, convBias: true, tied: true };
const FABLE_31M = { vocab: 8192, dim: 512, layers: 16, inner: 1024, dtRank: 32, ...rest };
const MAMBA_130M = { vocab: 50280, dim: 768, layers: 24, inner: 1536, dtRank: 48, ...rest };
const MAMBA_370M = { vocab: 50280, dim: 1024, layers: 48, inner: 2048, dtRank: 64, ...rest };

/** Shapes of the matrices that may be quantized, by name. */
function matrices(blocks: readonly Block[]): Map<string, readonly number[]> {
  return new Map(blocks.flatMap((b) => matrixNames(b).map((name) => [name, tensorShapes(b).get(name)!] as const)));
}

describe("a q4 package's mixture", () => {
  test.each([
    ["fable-31m", FABLE_31M],
    ["mamba-130m", MAMBA_130M],
    ["mamba-370m", MAMBA_370M],
  ])("of %s takes 4.6 to 4.9 bits a weight, scales and padding included", (_, sizes) => {
    const blocks = blocksOf("mamba", sizes);
    const q8 = keptQ8(blocks);
    let bytes = 0;
    let weights = 0;
    for (const [name, shape] of matrices(blocks)) {
      bytes += encodedBytes(shape, q8.has(name) ? "q8" : "q4");
      weights += shape.reduce((a, b) => a * b, 1);
    }
    expect((8 * bytes) / weights).toBeLessThanOrEqual(4.9);
    expect((8 * bytes) / weights).toBeGreaterThan(4.6);
  });

  test("keeps x_proj, dt_proj and the first out_proj as q8", () => {
    expect([...keptQ8(blocksOf("mamba", { ...FABLE_31M, layers: 2 }))].sort()).toEqual([
      "layers.0.dt_proj.weight",
      "layers.0.out_proj.weight",
      "layers.0.x_proj.weight",
      "layers.1.dt_proj.weight",
      "layers.1.x_proj.weight",
    ]);
  });
});

describe("convertCheckpoint", () => {
  const convert = async (changes: Partial<ConversionOptions> = {}) => {
    const memory = new MemoryPackage();
    const checkpoint = tinyCheckpoint({ dim: 40, vocab: 70, tied: false });
    await convertCheckpoint(checkpoint, { name: "tiny", quantization: "q4", ...changes }, memory);
    return { memory, manifest: await readManifest(memory) };
  };

  test.each([
    ["f32", { f32: 23 }],
    ["q8", { f32: 13, q8: 10 }],
    ["q4", { f32: 13, q8: 5, q4: 5 }],
  ] as const)("%s encodes matrices only", async (quantization, counts) => {
    const { manifest } = await convert({ quantization });
    expect(manifest.quantization).toBe(quantization);
    const seen: Record<string, number> = {};
    for (const { encoding } of manifest.tensors) seen[encoding] = (seen[encoding] ?? 0) + 1;
    expect(seen).toEqual(counts);
  });

  test("gives each tensor the importance of its own columns", async () => {
    const importance = new Map([["head.weight", Float64Array.from({ length: 40 }, (_, c) => (c % 2 === 0 ? 1 : 0))]]);
    const head = async (by: ConversionOptions["importance"]): Promise<number> => {
      let error = Number.NaN;
      await convert({
        importance: by,
        onTensor({ name, shape, data, encoding }, bytes) {
          if (name !== "head.weight") return;
          error = relativeRms(data, decodeTensor(shape, encoding, bytes), importance.get(name));
        },
      });
      return error;
    };
    expect(await head(importance)).toBeLessThan(0.9 * (await head(undefined)));
  });

  test("of a family is one family, searched or not", async () => {
    const [found, plain] = [await convert(), await convert({ search: false })];
    expect(found.manifest.id).not.toBe(plain.manifest.id);
    expect(found.manifest.family).toBe(plain.manifest.family);
  });

  test("refuses importance of another width and leaves nothing behind", async () => {
    const memory = new MemoryPackage();
    const options = { name: "tiny", quantization: "q4", importance: new Map([["embedding.weight", [1, 2]]]) } as const;
    const converting = convertCheckpoint(tinyCheckpoint(), options, memory);
    await expect(converting).rejects.toThrow(PackageError);
    await expect(converting).rejects.toThrow(/embedding\.weight: the importance of 24 columns is needed, got 2/);
    expect(memory.files.size).toBe(0);
  });
});
