import { expect, test } from "vitest";
import { openPageBackend } from "../../scripts/lib/webgpu-page/index.ts";
import type { DrawResult } from "./webgpu-draw-page.ts";

test("tokens chosen on the GPU are the engine's, whatever the vocabulary, temperature, top_k, top_p and min_p", async () => {
  const backend = await openPageBackend();
  const results = await backend.evaluate<DrawResult[]>(new URL("webgpu-draw-page.ts", import.meta.url));
  await backend.close();
  expect(results.length).toBe(10 * 18 + 3);
  expect(results.filter(({ wrong }) => wrong.length > 0)).toEqual([]);
  // Of 1,083 tokens.
  const ties = results.reduce((sum, result) => sum + result.ties, 0);
  expect(ties).toBeLessThanOrEqual(3);
}, 300_000);
