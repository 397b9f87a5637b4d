import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openModel } from "../../scripts/lib/open-model.ts";
import { openPageBackend, type PageBackend } from "../../scripts/lib/webgpu-page/index.ts";
import { classify } from "../../worker/engine/images.ts";
import { reference } from "../support/backends.ts";
import { compileImages, OTHER_STATE, randomImage, randomVmamba, see, V0_ODD, V2_ODD } from "./image-fixtures.ts";
import { differences, distance } from "./wasm-fixtures.ts";

/** Image models in one page of headless Chromium, whose GPU is the CPU. */
const SLOW = 300_000;
/** f32 arithmetic in another order. */
const EXACT = 2e-5;

let webgpu: PageBackend;

beforeAll(async () => {
  webgpu = await openPageBackend();
}, SLOW);

afterAll(() => webgpu?.close());

interface Golden {
  readonly cases: { shape: [number, number]; pixels_chw: number[]; logits: number[] }[];
}

test.each(["vmamba-v0-tiny", "vmamba-v2-tiny"])("%s within 2e-4 of the golden logits", {
  timeout: SLOW,
}, async (name) => {
  const folder = `test/golden/${name}`;
  const { cases } = JSON.parse(readFileSync(`${folder}/golden.json`, "utf8")) as Golden;
  const model = await openModel(folder, { backend: webgpu });
  expect(cases.length).toBeGreaterThan(0);
  for (const { shape, pixels_chw, logits } of cases) {
    const [height, width] = shape;
    const channels = pixels_chw.length / (height * width);
    const seen = await classify(model, { shape: [1, channels, height, width], data: Float32Array.from(pixels_chw) });
    expect(distance(Float32Array.from(seen.logits), Float32Array.from(logits))).toBeLessThan(2e-4);
  }
  model.dispose();
});

describe.each([
  ["v0, gated, N = 16, patch merging", V0_ODD, "q8"],
  ["v2, N = 1, MLPs", V2_ODD, "f32"],
  ["N = 3", OTHER_STATE, "q8"],
] as const)("VMamba of odd sizes: %s", (_, hyperparameters, encoding) => {
  const channels = hyperparameters.channels as number;
  const model = randomVmamba(hyperparameters, encoding);
  const images = [
    [23, 37],
    [4, 61],
    [40, 9],
    [5, 5],
  ].map(([h, w], i) => randomImage(channels, h!, w!, 9 + i));

  test("what the reference computes, on images of any shape, logits and responses; each as if it were alone", {
    timeout: SLOW,
  }, async () => {
    const observed = [
      model.blocks.findIndex((b) => b.kind === "ss2d"),
      model.blocks.findLastIndex((b) => b.kind === "ss2d"),
    ];
    const [ours, theirs] = [await compileImages(webgpu, model), await compileImages(reference, model)];
    for (const observe of observed) {
      const [got, expected] = [await see(ours, images, observe), await see(theirs, images, observe)];
      got.forEach(({ logits, responses }, i) => {
        const { height, width, values } = expected[i]!.responses!;
        expect(distance(logits, expected[i]!.logits)).toBeLessThan(EXACT);
        expect(responses).toMatchObject({ height, width });
        expect(distance(responses!.values, values)).toBeLessThan(EXACT);
      });
      const [alone] = await see(ours, images.slice(2, 3));
      expect(alone!.responses).toBeUndefined();
      expect(differences(alone!.logits, got[2]!.logits)).toBe(0);
    }
    ours.dispose();
  });
});

test("an image of every size gives the same after many others, and memory is given back", {
  timeout: SLOW,
}, async () => {
  const before = (await webgpu.counts()).liveBytes;
  const model = randomVmamba(V2_ODD);
  const executable = await webgpu.compile(model.blocks, model.tensors, {
    maxImage: { height: 40, width: 40 },
    maxImages: 2,
  });
  for (const [name, bytes] of model.bytes) executable.load(name, 0, bytes);
  const image = randomImage(1, 7, 9);
  const [first] = await see(executable, [image]);
  // More sizes than are kept.
  for (let side = 5; side < 12; side++) await see(executable, [randomImage(1, side, 30), randomImage(1, 30, side)]);
  const [, again] = await see(executable, [randomImage(1, 33, 8), image]);
  expect(differences(first!.logits, again!.logits)).toBe(0);
  executable.dispose();
  expect((await webgpu.counts()).liveBytes).toBe(before);
});

test("what cannot be computed is refused, saying why", { timeout: SLOW }, async () => {
  const messages = await webgpu.evaluate<Record<string, string>>(new URL("webgpu-images-page.ts", import.meta.url));
  expect(messages).toEqual({
    "too large": expect.stringMatching(/image 0 of 65 × 64 needs more memory than one of 64 × 64/),
    "a flat one that is not": "5 logits",
    "too many": expect.stringMatching(/a pass takes at most 2 images, 3 were given/),
    "a block without scans": expect.stringMatching(/only ss2d blocks have responses/),
    "a sequence": expect.stringMatching(/has no sequences: use images.begin/),
    "an unread block": expect.stringMatching(/only 2 of \d+ blocks are done/),
    "a pass before this one": expect.stringMatching(/another pass was opened since/),
    "a block that is not loaded": expect.stringMatching(/block 0 is not loaded yet/),
    "too large for the device": expect.stringMatching(/this device binds \d+: compile with a smaller maxImage/),
    "too large for a grid": expect.stringMatching(/positions in a block, the webgpu backend takes up to 2097120/),
    "memory beside what was planned": "little",
    "a disposed executable": expect.stringMatching(/this executable was disposed/),
  });
});
