import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { site, useBrowser } from "./visit.ts";

const browser = useBrowser();
const photo = fileURLToPath(new URL("../golden/images/420.jpg", import.meta.url));

test("by click: a photo's classes, its four scans and where the time went", async () => {
  const page = await (await browser.current.newContext()).newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(site.url);
  await page.click("#tab-see");
  await page.waitForSelector("#see:not([hidden])");
  await page.setInputFiles("#see-file", photo);
  await page.waitForSelector("#see-result:not([hidden])");
  expect(await page.textContent("#see-status")).toMatch(/of 150 × 101 pixels/);
  expect(await page.locator("#see-classes li").count()).toBe(5);
  expect(await page.locator("#see-maps canvas").count()).toBe(4);
  expect(await page.textContent("#see-stages")).toMatch(/picture to pixels.*stem.*stage 4.*head/s);
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/see.png`, fullPage: true });
  await page.setInputFiles("#see-file", { name: "a.jpg", mimeType: "image/jpeg", buffer: Buffer.from("no picture") });
  await expect.poll(() => page.textContent("#see-status")).toMatch(/cannot be shown/);
  expect(errors).toEqual([]);
});
