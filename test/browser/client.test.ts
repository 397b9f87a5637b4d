import { expect, test } from "vitest";
import { wasmModel } from "./node-model.ts";
import { blankPage, packageUrl, site, useBrowser } from "./visit.ts";

const browser = useBrowser();

test("a page loads a model, streams text, and it is the text that Node makes", async () => {
  const page = await blankPage(browser.current);
  const seen = await page.evaluate(async (url) => {
    const stages = new Set<string>();
    let last = { loaded: 0, total: 1 };
    const model = await loadModel(url, {
      backend: "wasm",
      onProgress: (progress) => {
        stages.add(progress.stage);
        last = progress;
      },
    });
    const pieces: string[] = [];
    const generation = model.generate("Once upon a time", { seed: 11, maxTokens: 40 });
    for await (const { text } of generation) pieces.push(text);
    const result = await generation.result;
    await model.dispose();
    const { backend, reason, info } = model;
    return { pieces, result, backend, reason, info, stages: [...stages], last };
  }, packageUrl(site.story));
  const node = await wasmModel("a-story");
  expect(seen.result.text).toBe(await node.generate("Once upon a time", 11, 40));
  expect(seen.pieces.join("")).toBe(seen.result.text);
  expect(seen.pieces.length).toBeGreaterThan(5);
  expect(seen.result).toMatchObject({ finishReason: "length", completionTokens: 40, seed: 11, backend: "wasm" });
  expect(seen.backend).toBe("wasm");
  expect(seen.reason).toBe("asked for");
  expect(seen.info.id).toBe(site.story);
  expect(seen.stages).toEqual(["download", "prepare"]);
  expect(seen.last.loaded).toBe(seen.last.total);
});
