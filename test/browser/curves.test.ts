import { expect, test } from "vitest";
import { cells, openLearn } from "./learn-page.ts";
import { site, useBrowser } from "./visit.ts";

const browser = useBrowser();
const open = () => openLearn(browser.current);

test("a slow answer leaves no curve of the last line as if it were this one's: it is dimmed, and said to be computing", async () => {
  const page = await open();
  await page.waitForSelector(".curve.m1");
  await page.selectOption("#learn-where", "rest");
  await expect.poll(async () => (await cells(page, 2))[2]).toMatch(/edge$/);
  const before = await page.getAttribute(".curve.m1", "d");
  const answer = Promise.withResolvers<void>();
  await page.route("**/v1/icl/predictions", async (route) => {
    await answer.promise;
    await route.continue();
  });
  await page.click("#learn-line");
  await page.waitForSelector(".curve.m1.stale");
  expect((await cells(page, 2))[2]).toBe("computing …");
  expect(await page.getAttribute(".curve.m1", "d")).toBe(before);
  answer.resolve();
  await expect.poll(async () => (await cells(page, 2))[2]).toMatch(/^\d+ ms, edge$/);
  expect(await page.locator(".stale").count()).toBe(0);
  expect(await page.getAttribute(".curve.m1", "d")).not.toBe(before);
  await page.context().close();
});

test("the board leaves room for what plays it; Play becomes Pause and goes on from there; more points are told", async () => {
  const page = await (await browser.current.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
  await page.goto(site.url);
  await page.click("#tab-learn");
  await page.waitForSelector(".curve.m1");
  const play = (await page.locator("#learn-play").boundingBox())!;
  expect(play.y + play.height).toBeLessThanOrEqual(900);
  const seen = async () => Number((await page.textContent("#learn-seen-label"))!.match(/\d+/)![0]);
  await page.click("#learn-play");
  await expect.poll(() => page.textContent("#learn-play")).toBe("Pause");
  await expect.poll(seen).toBeGreaterThan(0);
  await page.click("#learn-play");
  const paused = await seen();
  expect([await page.textContent("#learn-play"), paused < 12]).toEqual(["Play", true]);
  await page.click("#learn-play");
  await expect.poll(seen).toBeGreaterThan(paused);
  await page.click("#learn-line");
  expect([await page.textContent("#learn-play"), await seen()]).toEqual(["Play", 12]);
  await page.selectOption("#learn-layout", "noise");
  expect(await page.textContent("#learn-layout-note")).toBe(
    "40 new points: among 5 numbers a line takes more examples.",
  );
  expect(await page.locator(".dot").count()).toBe(40);
  await page.click("#learn-line");
  expect(await page.textContent("#learn-layout-note")).toBe("");
  await page.context().close();
});
