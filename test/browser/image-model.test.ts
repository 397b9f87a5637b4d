import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { nodeImageDecoder } from "../../scripts/lib/images/decode.ts";
import { openModel } from "../../scripts/lib/open-model.ts";
import { cropOf, prepare } from "../../worker/engine/image/prepare.ts";
import { bestClasses, classify } from "../../worker/engine/images.ts";
import { emptyKernels, hastyClock, noWebGpu, realAdapter } from "./sabotage.ts";
import { blankPage, packageUrl, site, useBrowser } from "./visit.ts";

const browser = useBrowser();
const golden = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../golden/images/${name}`, import.meta.url)));

test("the browser says of a picture what Node says of it", async () => {
  const model = await openModel("dist/browser-test-models/vmamba", { backend: "wasm" });
  const spec = model.manifest.image!;
  const page = await blankPage(browser.current);
  // Lossless ones: decoders of JPEG differ in the last bit.
  for (const name of ["rgb.png", "lossless.webp", "orientation-6.png"]) {
    const raster = await nodeImageDecoder()(golden(name));
    const pixels = { shape: [1, 3, spec.height, spec.width] as const, data: prepare(raster, spec) };
    const { logits, responses } = await classify(model, pixels, { observe: 2 });
    const seen = await page.evaluate(
      async ({ url, bytes }) => {
        const model = await loadImageModel(url, { backend: "wasm" });
        const { info, backend, reason } = model;
        const result = await model.classify(new Blob([Uint8Array.from(bytes)]), { topK: 10, observe: 2 });
        await model.dispose();
        const gone = await model.classify(new Blob([])).catch((error: Error) => error.name);
        return { info, backend, reason, result, gone };
      },
      { url: packageUrl(site.seeing), bytes: [...golden(name)] },
    );
    expect(seen).toMatchObject({
      info: { id: site.seeing, name: "vmamba", height: 48, width: 64, stages: 4, quantization: "f32" },
      backend: "wasm",
      reason: "asked for",
      gone: "DisposedError",
    });
    const { result } = seen;
    // Math.exp is V8's own of the day, in the last bit.
    const wanted = bestClasses(logits, 10, undefined).map((c) => ({ ...c, score: expect.closeTo(c.score, 12) }));
    expect({ name, classes: result.classes }).toEqual({ name, classes: wanted });
    expect(result.size).toEqual({ width: raster.width, height: raster.height });
    expect(result.crop).toEqual(cropOf(raster, spec));
    expect(result.scans).toEqual({ height: 6, width: 8, values: [...responses[0]!.values] });
    expect(result.stages.map(({ stage }) => stage)).toEqual([
      "stem",
      "stage 1",
      "stage 2",
      "stage 3",
      "stage 4",
      "head",
    ]);
    expect(result.totalMs).toBeGreaterThan(result.decodeMs);
  }
});

test("WebGPU says what WASM says", async () => {
  const page = await blankPage(browser.current);
  const [wasm, webgpu] = await page.evaluate(
    async ({ url, bytes }) => {
      const results = [];
      for (const backend of ["wasm", "webgpu"] as const) {
        const model = await loadImageModel(url, { backend });
        results.push(await model.classify(new Blob([Uint8Array.from(bytes)]), { topK: 10, observe: 2 }));
        await model.dispose();
      }
      return results;
    },
    { url: packageUrl(site.seeing), bytes: [...golden("rgb.png")] },
  );
  expect(webgpu).toMatchObject({ backend: "webgpu", crop: wasm!.crop, stages: [{ stage: "all stages" }] });
  for (const [i, { index, score }] of webgpu!.classes.entries()) {
    expect(index).toBe(wasm!.classes[i]!.index);
    expect(score).toBeCloseTo(wasm!.classes[i]!.score, 3);
  }
  const largest = Math.max(...wasm!.scans!.values);
  webgpu!.scans!.values.forEach((value, i) => {
    expect(Math.abs(value - wasm!.scans!.values[i]!) / largest).toBeLessThan(1e-3);
  });
});

/** What a page that loads the package with "auto" comes to, and what it says of a picture then. */
async function decided(code: string | undefined) {
  const page = await blankPage(browser.current, code);
  const seen = await page.evaluate(
    async ({ url, bytes }) => {
      const picture = new Blob([Uint8Array.from(bytes)]);
      const model = await loadImageModel(url, { backend: "auto" });
      const early = model.classify(picture, { topK: 10 });
      if (/^WASM computes until/.test(model.reason)) {
        await new Promise<void>((wake) => {
          const end = model.onBackendChange(() => {
            end();
            wake();
          });
        });
      }
      const place = [model.backend, model.reason];
      const results = [await early, await model.classify(picture, { topK: 10 })];
      await model.dispose();
      return { place, results };
    },
    { url: packageUrl(site.seeing), bytes: [...golden("rgb.png")] },
  );
  await page.context().close();
  return seen;
}

describe("auto computes on WASM, and says why,", () => {
  test.each([
    { without: "navigator.gpu", code: noWebGpu, reason: /^this browser has no WebGPU$/ },
    { without: "a real adapter", code: undefined, reason: /would compute on the CPU/ },
    {
      without: "pipelines that compile",
      code: `${realAdapter} GPUDevice.prototype.createComputePipelineAsync = async () => { throw new Error("no pipeline today"); };`,
      reason: /^WebGPU failed here: .*no pipeline today/,
    },
    {
      without: "a GPU that computes what WASM does",
      code: realAdapter + emptyKernels,
      reason:
        /^WebGPU failed here: its logits at position 0 are \S+ of the largest apart from WASM's, 0\.001 is allowed$/,
    },
  ])("without $without", async ({ code, reason }) => {
    const { place, results } = await decided(code);
    expect(place).toEqual(["wasm", expect.stringMatching(reason)]);
    for (const { backend, stages } of results) {
      expect(backend).toBe("wasm");
      expect(stages.length).toBe(6);
    }
  });
});

test("auto moves to WebGPU where that is real, right and faster, and says what WASM said", async () => {
  const { place, results } = await decided(realAdapter + hastyClock);
  expect(place).toEqual([
    "webgpu",
    expect.stringMatching(/^WebGPU agrees with WASM and is faster here: .* images\/s against/),
  ]);
  const [early, later] = results;
  expect(later).toMatchObject({ backend: "webgpu", stages: [{ stage: "all stages" }] });
  for (const [i, { index, score }] of later!.classes.entries()) {
    expect(index).toBe(early!.classes[i]!.index);
    expect(score).toBeCloseTo(early!.classes[i]!.score, 3);
  }
});

test("what a browser shows and the edge does not read goes there as JPEG, large ones smaller", async () => {
  const page = await blankPage(browser.current);
  const results = await page.evaluate(async (url) => {
    const model = await loadImageModel(url, { backend: "rest" });
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><rect width="30" height="20" fill="red"/></svg>';
    const image = new Image();
    image.src = `data:image/svg+xml,${encodeURIComponent(svg)}`;
    await image.decode();
    const context = new OffscreenCanvas(3000, 2000).getContext("2d")!;
    context.drawImage(image, 0, 0, 3000, 2000);
    const gif = Uint8Array.from(atob("R0lGODlhAQABAIAAAP8AAAAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw=="), (c) =>
      c.charCodeAt(0),
    );
    const seen = [];
    for (const picture of [await context.canvas.convertToBlob(), new Blob([gif], { type: "image/gif" })])
      seen.push(await model.classify(picture, { topK: 2, observe: 1 }));
    return seen.map(({ size, classes, backend, scans }) => ({ size, classes, backend, map: scans!.values.length }));
  }, packageUrl(site.seeing));
  expect(results).toMatchObject([
    { size: { width: 3000, height: 2000 }, backend: "rest", map: 4 * 12 * 16 },
    { size: { width: 1, height: 1 }, backend: "rest", map: 4 * 12 * 16 },
  ]);
  for (const { classes } of results) expect(classes).toHaveLength(2);
});

test.each([
  "photographs/church-0.jpg",
  "images/444-progressive.jpg",
  "images/rgb.png",
  "images/lossy.webp",
])("%s cut off is refused, and is classified whole", async (file) => {
  const bytes = [...golden(`../${file}`)];
  const page = await blankPage(browser.current);
  const { cut, whole } = await page.evaluate(
    async ({ url, bytes }) => {
      const model = await loadImageModel(url, { backend: "wasm" });
      const classify = (end: number): Promise<string> => {
        const picture = new Blob([Uint8Array.from(bytes.slice(0, end))]);
        return model.classify(picture).then(
          () => "classified",
          (error: Error) => `${error.name}: ${error.message}`,
        );
      };
      const cut = [];
      for (const part of [0.2, 0.5, 0.8, 0.97]) cut.push(await classify(Math.floor(part * bytes.length)));
      return { cut, whole: await classify(bytes.length) };
    },
    { url: packageUrl(site.seeing), bytes },
  );
  expect(whole).toBe("classified");
  expect(cut).toEqual(Array(4).fill(expect.stringMatching(/^ImageError: .*(cannot decode|cut off)/)));
});

test("what cannot be is an error that says why", async () => {
  const page = await blankPage(browser.current);
  const errors = await page.evaluate(
    async ({ seeing, story }) => {
      const name = (error: Error): string => `${error.name}: ${error.message}`;
      const model = await loadImageModel(seeing, { backend: "auto" });
      const blank = await new OffscreenCanvas(8, 8).getContext("2d")!.canvas.convertToBlob();
      const controller = new AbortController();
      const aborted = model.classify(blank, { signal: controller.signal });
      controller.abort();
      return [
        await model.classify(new Blob(["no picture"], { type: "text/plain" })).then(String, name),
        await model.classify(blank, { observe: 9 }).then(String, name),
        await model.classify(blank, { topK: 0 }).then(String, name),
        await aborted.then(String, name),
        (await model.classify(blank)).backend,
        await loadImageModel(story).then(String, name),
        await loadModel(seeing, { backend: "wasm" }).then(String, name),
        await loadImageModel(seeing, { backend: "wasm", memoryBudget: 1e5 }).then(String, name),
        (await loadImageModel(seeing, { memoryBudget: 1e5 })).reason,
      ];
    },
    { seeing: packageUrl(site.seeing), story: packageUrl(site.story) },
  );
  expect(errors).toEqual([
    expect.stringMatching(/^ImageError: this browser cannot decode the picture \(10 bytes, type "text\/plain"\)/),
    "ParameterError: observe is 9: the model has stages 1 to 4",
    "ParameterError: topK is 0: it must be a whole number ≥ 1",
    expect.stringMatching(/^AbortError/),
    "wasm",
    expect.stringMatching(/^ModelError: package a-story@\w+ is not fed images: load it with loadModel/),
    expect.stringMatching(/^ModelError: package vmamba@\w+ is fed images: load it with loadImageModel/),
    expect.stringMatching(/^MemoryBudgetError: vmamba@\w+ needs \d+\.\d MB of memory/),
    expect.stringMatching(/^the model does not fit in this browser/),
  ]);
});
