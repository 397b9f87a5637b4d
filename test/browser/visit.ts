import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, inject } from "vitest";
import type { LoadImageModel, LoadModel } from "../../worker/browser/client/api.ts";
import { launchChromium } from "../support/chromium.ts";
import type { Site } from "./global-setup.ts";
import { sabotage } from "./sabotage.ts";

export const site: Site = inject("site");

/** A browser for the tests of a file. */
export function useBrowser(): { readonly current: Browser } {
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser?.close());
  return {
    get current() {
      return browser!;
    },
  };
}

declare global {
  /** the built client, in a blank page. */
  var loadModel: LoadModel;
  var loadImageModel: LoadImageModel;
}

/**
 * A page with a storage of its own, on the site's origin, that shows nothing of ours and has the client as a global.
 * @param code runs in the client's Web Worker before it does
 */
export async function blankPage(browser: Browser, code?: string): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  if (code !== undefined) await sabotage(page, code);
  await visitBlank(page);
  return page;
}

export async function visitBlank(page: Page): Promise<void> {
  await page.goto(`${site.url}/weights/index.json`);
  const content =
    'import { loadImageModel, loadModel } from "/client.js"; Object.assign(globalThis, { loadImageModel, loadModel });';
  await page.addScriptTag({ type: "module", content });
  await page.waitForFunction(() => globalThis.loadModel !== undefined);
}

/** The URL of a package's folder. */
export function packageUrl(id: string): string {
  return `${site.url}/weights/${id}`;
}
