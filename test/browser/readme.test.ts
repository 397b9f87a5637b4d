import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { blankPage, packageUrl, site, useBrowser } from "./visit.ts";

const browser = useBrowser();

test("the README's example runs", async () => {
  const readme = await readFile(new URL("../../worker/browser/README.md", import.meta.url), "utf8");
  const [, example] = /```js\n(.*?)```/s.exec(readme)!;
  const [imported, ...lines] = example!.trim().split("\n");
  expect(imported).toContain("import { loadModel }");
  const code = lines.join("\n").replace(/"https:[^"]*\/weights\/[^"]*"/, JSON.stringify(packageUrl(site.story)));
  const page = await blankPage(browser.current);
  const printed: string[] = [];
  page.on("console", (message) => printed.push(message.text()));
  await page.evaluate(`(async () => {\n${code}\n})()`);
  expect(printed.some((line) => line.startsWith("download "))).toBe(true);
  expect(printed.some((line) => line.startsWith("wasm WebGPU would compute on the CPU"))).toBe(true);
  expect(printed.length).toBeGreaterThan(10);
});
