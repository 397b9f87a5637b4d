import { expect, test } from "vitest";
import { site, useBrowser } from "./visit.ts";

const browser = useBrowser();

test("the study's numbers are folded below each plot, fit beside it, and the paper is named with its address", async () => {
  for (const width of [1280, 390]) {
    const page = await (await browser.current.newContext({ viewport: { width, height: 800 } })).newPage();
    await page.goto(site.url);
    await page.click("#tab-learn");
    await page.waitForSelector("#learn-plots figure");
    const figures = page.locator("#learn-plots figure");
    expect(await page.getAttribute("#learn-results a", "href")).toBe("https://arxiv.org/abs/2402.04248");
    expect(await page.locator("#learn-plots table:visible").count()).toBe(0);
    // A dozen plots below one another would be most of the page.
    const heights = await page.evaluate(() => [
      document.documentElement.scrollHeight,
      document.querySelector("#learn-plots")!.scrollHeight,
    ]);
    if (width === 390) expect(heights[1]! / heights[0]!).toBeLessThan(0.25);
    for (const summary of await figures.locator("summary").all())
      await summary.evaluate((fold) => (fold as HTMLElement).click());
    expect(await page.locator("#learn-plots table:visible").count()).toBe(await figures.count());
    expect(await figures.first().locator("thead th").allTextContents()).toEqual(["Score", "Steps", "Paper"]);
    const wide = await figures.evaluateAll((all) => all.map((figure) => figure.scrollWidth - figure.clientWidth));
    expect(
      wide.every((over) => over <= 0),
      wide.join(" "),
    ).toBe(true);
    await page.context().close();
  }
});
