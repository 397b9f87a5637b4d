import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { cells } from "./learn-page.ts";
import { site, useBrowser } from "./visit.ts";

const browser = useBrowser();
const photo = "test/golden/photographs/church-0.jpg";
const MISSING = "The edge asks for an API key: type one under “API key”, at the top of this page.";
const WRONG = "The edge does not know this API key: type another one under “API key”, at the top of this page.";

/** As a deployment that takes one key, whose own words are for who writes programs. */
async function lock(page: Page, key: string): Promise<void> {
  await page.route("**/v1/**", (route) => {
    const given = route.request().headers().authorization;
    if (given === `Bearer ${key}`) return route.continue();
    return route.fulfill({
      status: 401,
      json: { error: { message: "no API key was sent: send one as authorization" } },
    });
  });
}

async function visitLocked(width = 1280): Promise<Page> {
  const page = await (await browser.current.newContext({ viewport: { width, height: 800 } })).newPage();
  await lock(page, "right");
  await page.goto(site.url);
  return page;
}

async function typeKey(page: Page, key: string): Promise<void> {
  await page.click("#key-open");
  await page.locator("#key").fill("");
  await page.locator("#key").pressSequentially(key);
  await page.keyboard.press("Enter");
}

test("a key that is typed after a model was loaded is used at once; what is refused says where to type one", async () => {
  const page = await visitLocked();
  const status = () => page.textContent("#status");
  await page.selectOption("#backend", "wasm");
  await page.click(".settings summary");
  await page.fill("#tokens", "5");
  await page.click("#go");
  await expect.poll(status).toMatch(/^Wrote/);
  await page.click("#hand");
  await expect.poll(status).toBe(MISSING);
  await typeKey(page, "wrong");
  await page.click("#hand");
  await expect.poll(status).toBe(WRONG);
  await typeKey(page, "right");
  await page.click("#hand");
  await expect.poll(status).toMatch(/goes on at the edge/);
  // Where all computes at the edge too.
  await typeKey(page, "wrong");
  await page.click("#go");
  await expect.poll(status).toBe(WRONG);
  await typeKey(page, "right");
  await page.click("#go");
  await expect.poll(status).toMatch(/^Wrote/);
  await page.context().close();
});

test("curves and pictures that were refused for want of a key are asked again when it is typed", async () => {
  const page = await visitLocked();
  await page.click("#tab-learn");
  await page.waitForSelector(".curve.m1");
  for (const where of ["rest", "session"]) {
    await page.selectOption("#learn-where", where);
    await expect
      .poll(() => page.textContent("#learn-status"))
      .toBe(`icl-gpt2-linear: ${MISSING} icl-mamba-linear: ${MISSING}`);
    await typeKey(page, "right");
    await expect.poll(async () => (await cells(page, 2))[2]).toMatch(/^\d+ ms, (edge|session)/);
    await expect.poll(() => page.textContent("#learn-status")).toBe("");
    await typeKey(page, "");
    await page.click("#learn-line");
  }
  await page.click("#tab-see");
  await page.selectOption("#see-backend", "rest");
  await page.setInputFiles("#see-file", photo);
  await expect.poll(() => page.textContent("#see-status")).toContain(MISSING);
  await typeKey(page, "right");
  await page.waitForSelector("#see-result:not([hidden])");
  await page.context().close();
});

test.each([
  1280, 390,
])("%i wide: the key's field lies over nothing, and closes by Enter, Escape, its button or a click elsewhere", async (width) => {
  const page = await visitLocked(width);
  const shown = () => page.isVisible("#key");
  const focused = () => page.evaluate(() => document.activeElement!.id);
  for (const key of ["Enter", "Escape"]) {
    await page.click("#key-open");
    expect([await shown(), await focused()]).toEqual([true, "key"]);
    await page.keyboard.press(key);
    expect([await shown(), await focused()]).toEqual([false, "key-open"]);
  }
  await page.click("#key-open");
  await page.click("#key-open");
  expect(await shown()).toBe(false);
  await page.click("#key-open");
  const bottom = await page.locator("#access").evaluate((panel) => panel.getBoundingClientRect().bottom);
  expect(await page.locator("main").evaluate((main) => main.getBoundingClientRect().top)).toBeGreaterThanOrEqual(
    bottom,
  );
  await page.click("#access .note");
  expect(await shown()).toBe(true);
  await page.click("#tab-chat");
  expect(await shown()).toBe(false);
  // The words below the name are as wide as the page has room for.
  const [tagline, head] = await page.evaluate(() =>
    ["#tagline", ".top"].map((at) => document.querySelector(at)!.getBoundingClientRect().width),
  );
  if (width === 390) expect(tagline! / head!).toBeGreaterThan(0.9);
  await page.context().close();
});

test("a deployment without keys says that it has none", async () => {
  const page = await visitLocked();
  await page.route("**/v1/**", (route) =>
    route.fulfill({ status: 401, json: { error: { message: "no API keys are set here, so only …" } } }),
  );
  await page.selectOption("#backend", "rest");
  await page.click("#go");
  await expect.poll(() => page.textContent("#status")).toMatch(/^The edge has no API keys yet/);
  await page.context().close();
});
