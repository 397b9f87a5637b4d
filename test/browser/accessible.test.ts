import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { site, useBrowser } from "./visit.ts";

const browser = useBrowser();
const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface Found {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly target: readonly string[]; readonly failureSummary?: string }[];
  }[];
  readonly passes: readonly { readonly id: string; readonly nodes: readonly unknown[] }[];
}

/** What axe finds against WCAG 2.2 A and AA, and how many texts had contrast enough. */
async function audit(page: Page): Promise<{ faults: string[]; contrasts: number }> {
  await page.evaluate(axeSource);
  const { violations, passes } = await page.evaluate(async (): Promise<Found> => {
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const { axe } = globalThis as unknown as { axe: { run(root: Document, options: object): Promise<Found> } };
    return axe.run(document, { runOnly: { type: "tag", values: tags }, resultTypes: ["violations", "passes"] });
  });
  const faults = violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} at ${target.join(" ")}: ${failureSummary}`),
  );
  return { faults, contrasts: passes.find(({ id }) => id === "color-contrast")?.nodes.length ?? 0 };
}

test.each([
  { theme: "light", width: 1280 },
  { theme: "dark", width: 1280 },
  { theme: "light", width: 390 },
  { theme: "dark", width: 390 },
] as const)("$theme, $width wide: every view has names, roles and contrast by WCAG AA, and nothing runs over the edge", async ({
  theme,
  width,
}) => {
  const page = await (
    await browser.current.newContext({ colorScheme: theme, viewport: { width, height: 800 } })
  ).newPage();
  await page.goto(site.url);
  await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>("#load")!.disabled);
  await page.selectOption("#backend", "wasm");
  await page.click(".settings summary");
  const look = async (view: string): Promise<void> => {
    const { faults, contrasts } = await audit(page);
    expect(faults, view).toEqual([]);
    expect(contrasts, view).toBeGreaterThan(15);
    expect(await page.evaluate(() => document.documentElement.scrollWidth), view).toBeLessThanOrEqual(width);
  };
  await look("at first");
  await page.fill("#tokens", "24");
  await page.click("#go");
  await expect.poll(() => page.textContent("#status"), { timeout: 30_000 }).toMatch(/^Wrote/);
  await look("a text, plots and figures");
  await page.click("#tab-chat");
  await page.fill("#words", "Good morning");
  await page.click("#go");
  await expect.poll(() => page.locator("#paper .turn").count(), { timeout: 30_000 }).toBe(2);
  await expect.poll(() => page.textContent("#status"), { timeout: 30_000 }).toMatch(/^Wrote/);
  await look("a chat");
  for (const tab of ["learn", "see"]) {
    await page.click(`#tab-${tab}`);
    for (const fold of await page.locator(`#panel-${tab} summary`).all())
      await fold.evaluate((f) => (f as HTMLElement).click());
    await look(tab);
  }
  await page.goto(`${site.url}/docs`);
  const endpoint = page.locator(".endpoint", { has: page.getByText("POST /v1/chat/completions", { exact: true }) });
  await endpoint.locator(":scope > summary").click();
  await endpoint.locator(".fields summary").first().click();
  const { faults } = await audit(page);
  expect(faults, "docs").toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
  await page.context().close();
});

test("by keyboard alone: every control is reached in the order of the page and shows it; a text is written, stopped and forked", async () => {
  const page = await (await browser.current.newContext()).newPage();
  await page.goto(site.url);
  await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>("#load")!.disabled);
  const focused = (): Promise<{ name: string; shown: boolean; top: number }> =>
    page.evaluate(() => {
      const at = document.activeElement!;
      const { outlineStyle, outlineWidth } = getComputedStyle(at);
      const shown = outlineStyle !== "none" && Number.parseFloat(outlineWidth) >= 2;
      return { name: at.id || at.textContent!.trim(), shown, top: at.getBoundingClientRect().top };
    });
  const walk = async (until: string): Promise<string[]> => {
    const names: string[] = [];
    while (names.at(-1) !== until && names.length < 40) {
      await page.keyboard.press("Tab");
      const { name, shown } = await focused();
      expect(shown, `${name} shows that it has the focus`).toBe(true);
      names.push(name);
    }
    return names;
  };
  const order = await walk("load");
  expect(order[0]).toBe("Skip to the text");
  const controls = ["tab-write", "new", "words", "go", "open", "Settings", "model", "backend", "load"];
  expect(order.filter((name) => controls.includes(name))).toEqual(controls);

  // Up from "Load" to the choice of backend, then load.
  await page.keyboard.press("Shift+Tab");
  expect((await focused()).name).toBe("backend");
  await page.keyboard.type("WebAssembly");
  expect(await page.inputValue("#backend")).toBe("wasm");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect.poll(() => page.textContent("#status"), { timeout: 30_000 }).toBe("Ready.");

  await page.focus("#words");
  await page.keyboard.press("ControlOrMeta+Enter");
  await expect.poll(() => page.textContent("#status"), { timeout: 60_000 }).toMatch(/^Wrote/);
  const onward = await walk("fork");
  expect(onward).toEqual(["go", "fork"]);
  await page.keyboard.press("Space");
  await expect.poll(() => page.textContent("#status")).toMatch(/same past/);
  expect(await page.locator("#texts button").count()).toBe(2);
  await page.context().close();
});
