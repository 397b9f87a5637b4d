import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { site, useBrowser } from "./visit.ts";

const browser = useBrowser();
const photo = fileURLToPath(new URL("../golden/images/420.jpg", import.meta.url));

/** The panel, with what the page throws and what it asks the edge to classify. */
async function openPanel(): Promise<{ page: Page; errors: string[]; asked: string[] }> {
  const page = await (await browser.current.newContext()).newPage();
  const [errors, asked]: [string[], string[]] = [[], []];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("request", (request) => {
    if (request.url().includes("/v1/")) asked.push(request.url());
  });
  await page.goto(site.url);
  await page.click("#tab-see");
  await page.waitForSelector("#see:not([hidden])");
  return { page, errors, asked };
}

const classes = (page: Page): Promise<string[]> => page.locator("#see-classes li").allTextContents();

test("by click: a photo's classes, its four scans and where the time went, in this browser and by the edge", async () => {
  const { page, errors, asked } = await openPanel();
  await page.setInputFiles("#see-file", photo);
  await page.waitForSelector("#see-result:not([hidden])");
  expect(await page.textContent("#see-status")).toMatch(/of 150 × 101 pixels, by WebAssembly in this browser/);
  expect(asked).toEqual([]);
  const here = await classes(page);
  expect(here).toHaveLength(5);
  expect(await page.locator("#see-maps canvas").count()).toBe(4);
  expect(await page.textContent("#see-stages")).toMatch(/picture to pixels.*stem.*stage 4.*head.*as this page saw it/s);
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/see.png`, fullPage: true });

  await page.selectOption("#see-backend", "rest");
  await expect.poll(() => page.textContent("#see-status")).toMatch(/of 150 × 101 pixels, by the edge \(REST\)/);
  expect(asked).toEqual([expect.stringContaining("/v1/images/classifications?model=vmamba")]);
  const label = (row: string): string => row.replace(/[\d.]+ %$/, "");
  expect((await classes(page)).map(label)).toEqual(here.map(label));
  expect(await page.locator("#see-maps canvas").count()).toBe(4);

  await page.selectOption("#see-backend", "wasm");
  await expect.poll(() => page.textContent("#see-status")).toMatch(/by WebAssembly/);
  expect(await classes(page)).toEqual(here);
  await page.setInputFiles("#see-file", { name: "a.jpg", mimeType: "image/jpeg", buffer: Buffer.from("no picture") });
  await expect.poll(() => page.textContent("#see-status")).toMatch(/cannot be shown/);
  // Nothing of the picture before it stays.
  expect(await page.isVisible("#see-result")).toBe(false);
  await page.setInputFiles("#see-file", photo);
  await page.waitForSelector("#see-result:not([hidden])");
  expect(await page.textContent("#see-status")).not.toMatch(/cannot be shown/);
  expect(errors).toEqual([]);
});

test("the key given in the page's head goes to the edge with what is asked there, from every tab", async () => {
  const page = await (await browser.current.newContext()).newPage();
  const keys: string[] = [];
  await page.route("**/v1/**", (route) => {
    keys.push(`${new URL(route.request().url()).pathname} ${route.request().headers().authorization}`);
    return route.continue();
  });
  await page.goto(site.url);
  await page.click("#key-open");
  await page.fill("#key", " secret ");
  await page.click("#key-open");
  await page.click("#tab-see");
  await page.waitForSelector("#see:not([hidden])");
  await page.selectOption("#see-backend", "rest");
  await page.setInputFiles("#see-file", photo);
  await page.waitForSelector("#see-result:not([hidden])");
  expect(keys).toEqual(["/v1/images/classifications Bearer secret"]);
  await page.click("#tab-learn");
  await page.selectOption("#learn-where", "rest");
  await expect.poll(() => keys.at(-1), { timeout: 30_000 }).toBe("/v1/icl/predictions Bearer secret");
  await page.selectOption("#learn-where", "session");
  await expect.poll(() => keys, { timeout: 30_000 }).toContain("/v1/sessions Bearer secret");
  await page.click("#tab-write");
  await page.selectOption("#backend", "rest");
  await page.click("#go");
  await expect.poll(() => keys.at(-1), { timeout: 30_000 }).toMatch(/^\/v1\/sessions\/sess_\w+\/\w+ Bearer secret$/);
  expect(keys.every((asked) => asked.endsWith(" Bearer secret"))).toBe(true);
});

test("a sample is seen by a click, shown plainly, and a low score is called unsure; the kinds are listed", async () => {
  const { page, errors } = await openPanel();
  expect(await page.locator("#see-samples img").count()).toBe(4);
  await page.click("#see-samples button >> nth=1");
  await page.waitForSelector("#see-result:not([hidden])");
  // The tiny test model has random weights: no class is likely.
  await expect.poll(() => page.textContent("#see-status")).toMatch(/^Unsure: perhaps .*, of 224 × 224 pixels/);
  const colours = await page.locator("#see-photo").evaluate((canvas) => {
    const { width, height } = canvas as HTMLCanvasElement;
    const { data } = (canvas as HTMLCanvasElement).getContext("2d")!.getImageData(0, 0, width, height);
    return { width, height, colours: new Set(new Uint32Array(data.buffer)).size };
  });
  expect(colours).toMatchObject({ width: 224, height: 224 });
  expect(colours.colours).toBeGreaterThan(1000);
  await page.route("**/page/photographs/*", (route) => route.fulfill({ status: 404 }));
  await page.click("#see-samples button >> nth=0");
  await expect.poll(() => page.textContent("#see-status")).toMatch(/church-1\.jpg was answered with 404/);
  expect(await page.isVisible("#see-result")).toBe(false);
  expect(errors).toEqual([]);

  const entries = (await (await fetch(`${site.url}/weights/index.json`)).json()) as { id: string }[];
  const json = entries.map((entry) => (entry.id === site.seeing ? { ...entry, classes: ["tench", "church"] } : entry));
  await page.route("**/weights/index.json", (route) => route.fulfill({ json }));
  await page.reload();
  await page.click("#tab-see");
  await expect.poll(() => page.textContent("#see-kinds")).toMatch(/^It knows 2 kinds.*: tench, church\.$/);
});

test("the scans are drawn over the part that the model saw, and nothing else", async () => {
  const { page, errors } = await openPanel();
  // 200 × 100: black where the model looks, 64 × 48 of 144 × 72, blue around it.
  const png = await page.evaluate(async () => {
    const context = new OffscreenCanvas(200, 100).getContext("2d")!;
    context.fillStyle = "#00f";
    context.fillRect(0, 0, 200, 100);
    context.fillStyle = "#000";
    context.fillRect(55, 16, 90, 68);
    return [...new Uint8Array(await (await context.canvas.convertToBlob()).arrayBuffer())];
  });
  await page.setInputFiles("#see-file", { name: "a.png", mimeType: "image/png", buffer: Buffer.from(png) });
  await page.waitForSelector("#see-result:not([hidden])");
  const maps = await page.locator("#see-maps canvas").evaluateAll((canvases) =>
    (canvases as HTMLCanvasElement[]).map((canvas) => {
      const { width, height } = canvas;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, width, height);
      let [blue, orange] = [0, 0];
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 2]! > data[i]! + 60) blue++;
        if (data[i]! > data[i + 2]! + 60) orange++;
      }
      return { ratio: width / height, blue, orange };
    }),
  );
  expect(maps).toHaveLength(4);
  for (const { ratio, blue, orange } of maps) {
    expect(ratio).toBeCloseTo(64 / 48, 1);
    expect(blue).toBe(0);
    expect(orange).toBeGreaterThan(100);
  }
  expect(errors).toEqual([]);
});
