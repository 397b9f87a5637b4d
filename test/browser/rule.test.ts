import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readManifest } from "../../weights/loader.ts";
import { folderSource } from "../../weights/node/folder.ts";
import { openLearn } from "./learn-page.ts";
import { useBrowser } from "./visit.ts";

const browser = useBrowser();

test("a hidden rule: the shipped models say each light before they see it, and are right in the last row", async () => {
  const shipped = "weights/models/icl-sparse-parity-mamba";
  const manifest = await readManifest(folderSource(shipped));
  const entry = { id: manifest.id, name: "icl-sparse-parity-mamba", inputs: 10, outputs: 1 };
  const page = await openLearn(browser.current, async (page) => {
    await page.route("**/weights/index.json", (route) => route.fulfill({ json: [entry] }));
    await page.route(`**/weights/${manifest.id}/*`, (route) =>
      route.fulfill({ body: readFileSync(join(shipped, route.request().url().split("/").at(-1)!)) }),
    );
  });
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.waitForSelector(".strip");
  expect(await page.isVisible("#learn")).toBe(false);
  expect(await page.isVisible("#learn-none")).toBe(true);
  for (let round = 0; round < 3; round++) {
    expect(await page.textContent("#rule-rows li > :last-child")).toBe("Wrong in the last row: 0 of 20");
    expect(await page.locator(".strip rect").count()).toBe(60);
    expect(await page.locator(".strip rect.right").count()).toBeGreaterThan(40);
    const before = await page.locator(".strip").elementHandle();
    await page.click("#rule-new");
    await page.waitForFunction((strip) => !strip!.isConnected, before);
  }
  expect(await page.textContent("#rule-is")).toMatch(/^This one: the light follows switches \d+ and \d+\.$/);
  expect(errors).toEqual([]);
  await page.context().close();
});

test("a rule's model that cannot be loaded is said", async () => {
  const entry = { id: "icl-sparse-parity-x@000000000000", name: "icl-sparse-parity-x", inputs: 10, outputs: 1 };
  const page = await openLearn(browser.current, (page) =>
    page.route("**/weights/index.json", (route) => route.fulfill({ json: [entry] })),
  );
  await expect.poll(() => page.textContent("#rule-status")).toMatch(/^icl-sparse-parity-x: .+/);
  await page.context().close();
});
