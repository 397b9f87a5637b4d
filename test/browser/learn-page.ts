import type { Browser, Page } from "playwright-core";
import { site } from "./visit.ts";

/** The page on the tab of what learns in its context. @param route before it is loaded */
export async function openLearn(browser: Browser, route?: (page: Page) => Promise<unknown>): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  await route?.(page);
  await page.goto(site.url);
  await page.click("#tab-learn");
  return page;
}

/** State, error and time of a row; the first is that of least squares. */
export function cells(page: Page, row: number): Promise<string[]> {
  return page.locator(`#learn-rows tr >> nth=${row}`).locator("td").allTextContents();
}
