import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import vectors from "../../golden/images/vectors.json" with { type: "json" };
import { startTestServer } from "./server.ts";

const golden = async (name: string): Promise<Uint8Array<ArrayBuffer>> =>
  Uint8Array.from(await readFile(new URL(`../../golden/images/${name}`, import.meta.url)));

test("the decoders start in the deployed runtime, and a damaged picture is an error", async () => {
  const main = fileURLToPath(new URL("../support/decode-worker.ts", import.meta.url));
  const edit = (config: string): string => config.replace(/^main = .*$/m, `main = ${JSON.stringify(main)}`);
  await using server = await startTestServer({}, { edit });
  const wanted = await golden("vectors.bin");
  let at = 0;
  for (const { file, resize, filter, crop } of vectors.cases) {
    const bytes = wanted.subarray(at, at + crop * crop * 3);
    at += bytes.length;
    if (resize !== crop || filter !== "bicubic") continue;
    const response = await fetch(`${server.url}/?side=${resize}`, { method: "POST", body: await golden(file) });
    const seen = new Uint8Array(await response.arrayBuffer());
    expect([file, response.status, seen.length]).toEqual([file, 200, bytes.length]);
    expect(Math.max(...seen.map((value, i) => Math.abs(value - bytes[i]!)))).toBeLessThanOrEqual(3);
  }
  const cut = (await golden("rgb.png")).subarray(0, 2000);
  const response = await fetch(`${server.url}/?side=8`, { method: "POST", body: cut });
  expect([response.status, await response.text()]).toEqual([400, expect.stringMatching(/^ImageError: .*cut off/)]);
});
