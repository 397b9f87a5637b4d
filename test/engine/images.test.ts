import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Backend } from "../../kernels/backend.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";
import { canonicalCheckpoint } from "../../worker/engine/architectures/index.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { readImageInput } from "../../worker/engine/image-preprocessor.ts";
import { classify, classifyImages, imageStages } from "../../worker/engine/images.ts";
import { Model } from "../../worker/engine/model.ts";
import { distance } from "../kernels/wasm-fixtures.ts";
import { everyBackend, reference, wasm } from "../support/backends.ts";
import { roundingReference } from "../support/rounding-reference.ts";

interface Golden {
  readonly cases: readonly { shape: [number, number]; pixels_chw: number[]; logits: number[] }[];
}
const FOLDERS = ["vmamba-v0-tiny", "vmamba-v2-tiny"] as const;
const folder = (name: string): string => `test/golden/${name}`;
const goldenOf = (name: string): Golden => JSON.parse(readFileSync(`${folder(name)}/golden.json`, "utf8"));

async function load(name: string, quantization: "f32" | "q8" = "f32", backend: Backend = reference): Promise<Model> {
  const memory = new MemoryPackage();
  await convertCheckpoint(await openCheckpoint(folder(name)), { name, quantization }, memory);
  return Model.load(memory, backend, { memoryBudget: Number.POSITIVE_INFINITY });
}

describe.each(FOLDERS)("%s", (name) => {
  const { cases } = goldenOf(name);

  test.each(
    everyBackend,
  )("%s computes what the official implementation does, images of any shape in one pass", async (_, backend) => {
    const images = cases.map(({ shape: [height, width], pixels_chw }) => ({
      height,
      width,
      pixels: Float32Array.from(pixels_chw),
    }));
    const { logits, classes } = await classifyImages(await load(name, "f32", backend), images);
    cases.forEach((golden, i) => {
      const ours = logits.subarray(i * classes, (i + 1) * classes);
      expect(distance(ours, Float32Array.from(golden.logits))).toBeLessThan(1e-5);
    });
  });

  test("q8 stays close to the official implementation in f32", async () => {
    const { shape, pixels_chw, logits } = cases[0]!;
    const pixels = { shape: [1, 3, ...shape] as [number, number, number, number], data: Float32Array.from(pixels_chw) };
    const q8 = await classify(await load(name, "q8"), pixels);
    expect(distance(q8.logits, Float32Array.from(logits))).toBeLessThan(5e-2);
  });

  test("q8 on wasm is what the package means to 4e-2, and to 1e-5 with activations rounded as there", async () => {
    const models = await Promise.all([wasm, reference, roundingReference].map((backend) => load(name, "q8", backend)));
    for (const { shape, pixels_chw } of cases) {
      const data = Float32Array.from(pixels_chw);
      const [ours, exact, rounded] = await Promise.all(
        models.map((model) => classify(model, { shape: [1, 3, ...shape] as const, data })),
      );
      expect(distance(ours!.logits, exact!.logits)).toBeLessThan(4e-2);
      expect(distance(ours!.logits, rounded!.logits)).toBeLessThan(1e-5);
    }
  });

  test("q8 leaves the stem in f32", async () => {
    const { tensors } = (await load(name, "q8")).manifest;
    const encodings = (pattern: RegExp) => tensors.filter((t) => pattern.test(t.name)).map((t) => t.encoding);
    expect(new Set(encodings(/^stem\..*conv\.weight$/))).toEqual(new Set(["f32"]));
    expect(new Set(encodings(/out_proj\.weight$|downsample.*(conv|proj)\.weight$|^head\.weight$/))).toEqual(
      new Set(["q8"]),
    );
  });
});

const model = await load("vmamba-v2-tiny");
const image = (height: number, width: number) => ({
  height,
  width,
  pixels: new Float32Array(3 * height * width).fill(0.5),
});

test("stages cover every block once, in order", () => {
  const stages = imageStages(model.blocks);
  expect(stages.map((s) => s.name)).toEqual(["stem", "stage 1", "stage 2", "stage 3", "stage 4", "head"]);
  expect(stages.map((s) => s.begin)).toEqual([0, ...stages.slice(0, -1).map((s) => s.end)]);
  expect(stages.at(-1)!.end).toBe(model.blocks.length);
});

test("timings name the stages, and responses are one map a scan of the stage's size", async () => {
  const { stages, responses } = await classifyImages(model, [image(36, 20)], { observe: 2 });
  expect(stages.map((s) => s.stage)).toEqual(imageStages(model.blocks).map((s) => s.name));
  const [map] = responses;
  expect([map!.height, map!.width, map!.values.length]).toEqual([5, 3, 4 * 15]);
  expect(map!.values.every((v) => v > 0 && Number.isFinite(v))).toBe(true);
});

test("two classifications at once take turns", async () => {
  const alone = await classifyImages(model, [image(8, 8)]);
  const both = await Promise.all([classifyImages(model, [image(8, 8)]), classifyImages(model, [image(9, 7)])]);
  expect(both[0].logits).toEqual(alone.logits);
});

test("an abort ends it between blocks, and the next one runs", async () => {
  const controller = new AbortController();
  const running = classifyImages(model, [image(32, 32)], { signal: controller.signal });
  controller.abort(new Error("gone"));
  await expect(running).rejects.toThrow("gone");
  expect((await classifyImages(model, [image(8, 8)])).classes).toBe(10);
});

test.each([
  ["no image", [], /at least one image/],
  ["too many", Array.from({ length: 9 }, () => image(8, 8)), /at most 8 images, 9/],
  [
    "another length",
    [{ height: 8, width: 9, pixels: new Float32Array(3 * 64) }],
    /has 192 values, 3 channels take 216/,
  ],
  ["NaN", [{ height: 1, width: 1, pixels: Float32Array.of(0, Number.NaN, 0) }], /value 1 of image 0 is NaN/],
] as const)("refuses %s", async (_, images, message) => {
  await expect(classifyImages(model, images)).rejects.toThrow(message);
});

test("refuses a stage that is not there, and an image of which nothing is left", async () => {
  await expect(classifyImages(model, [image(8, 8)], { observe: 5 })).rejects.toThrow(/stages 1 to 4/);
  await expect(classifyImages(await load("vmamba-v0-tiny"), [image(3, 8)])).rejects.toThrow(/too small/);
});

test("an image model has no sequences", () => {
  expect(() => model.executable.createState()).toThrow(/has no sequences/);
  expect(() => model.executable.begin([])).toThrow(/has no sequences/);
});

describe("VMamba checkpoints", () => {
  test("older spellings mean the same tensors", async () => {
    const { config, tensors } = await openCheckpoint(folder("vmamba-v0-tiny"));
    const old = (name: string): string =>
      name
        .replace("patch_embed.0", "patch_embed.proj")
        .replace("patch_embed.2", "patch_embed.norm")
        .replace(/blocks\.(\d+)\.norm/, "blocks.$1.ln_1")
        .replace(".op.", ".self_attention.")
        .replace("classifier.", "")
        .replace("downsample.1", "downsample.norm")
        .replace("downsample.2", "downsample.reduction");
    const keys = new Map(tensors.names().map((name) => [old(name), name]));
    const renamed = {
      names: () => [...keys.keys()],
      shape: (name: string) => tensors.shape(keys.get(name)!),
      read: (name: string) => tensors.read(keys.get(name)!),
    };
    const [a, b] = [await canonicalCheckpoint(config, tensors), await canonicalCheckpoint(config, renamed)];
    expect(b.hyperparameters).toEqual(a.hyperparameters);
    for (const [i, tensor] of a.tensors.entries()) expect(await b.tensors[i]!.read()).toEqual(await tensor.read());
  });

  test.each([
    [{ num_classes: 11 }, /num_classes = 11, the tensors say 10/],
    [{ forward_type: "xv1a" }, /forward_type = "xv1a"/],
    [{ depths: [1, 1, 1, 1] }, /depths = 1 1 1 1, the tensors say 1 1 2 1/],
  ])("refuses %j", async (change, message) => {
    const { config, tensors } = await openCheckpoint(folder("vmamba-v2-tiny"));
    await expect(canonicalCheckpoint({ ...(config as object), ...change }, tensors)).rejects.toThrow(message);
  });
});

describe("what images a checkpoint wants", () => {
  test("is ImageNet's usual where it does not say", () => {
    expect(readImageInput(undefined, {}, 10)).toMatchObject({ height: 224, shortSide: 256, filter: "bicubic" });
    expect(model.manifest.image).toMatchObject({ width: 224 });
  });

  test("comes from preprocessor_config.json and id2label", () => {
    const preprocessor = { size: { shortest_edge: 144 }, crop_size: { height: 128, width: 128 }, resample: 2 };
    const config = { id2label: { 0: "tench", 1: "church" } };
    expect(readImageInput(preprocessor, config, 2)).toMatchObject({
      height: 128,
      width: 128,
      shortSide: 144,
      filter: "bilinear",
      classes: ["tench", "church"],
    });
  });

  test.each([
    [{ size: 100 }, {}, /shortSide is 100, must be at least 224/],
    [{ resample: 0 }, {}, /resample = 0/],
    [{ image_std: [1, 0, 1] }, {}, /image\.std is \[1,0,1\]/],
    [{}, { id2label: { 0: "one" } }, /names 1 classes, none for 1/],
  ])("refuses %j %j", (preprocessor, config, message) => {
    expect(() => readImageInput(preprocessor, config, 2)).toThrow(message);
  });
});
