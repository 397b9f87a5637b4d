import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { blankPage, site, useBrowser } from "./visit.ts";

const browser = useBrowser();

const status = (page: Page, pattern: RegExp) =>
  expect.poll(() => page.textContent("#status"), { timeout: 60_000 }).toMatch(pattern);

async function visit(): Promise<{ page: Page; errors: string[] }> {
  const page = await (await browser.current.newContext()).newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(site.url);
  return { page, errors };
}

test("by click: load, stream, stop, fork, hand over and back, reload and go on", async () => {
  const { page, errors } = await visit();
  expect(await page.title()).toBe("mamba-edge playground");
  await page.selectOption("#backend", "wasm");
  await page.click("#load");
  await status(page, /Ready/);
  expect(await page.textContent("#model-note")).toBe("a-story on WebAssembly: asked for.");

  await page.fill("#words", "Once upon a time");
  await page.click(".settings summary");
  await page.fill("#tokens", "4000");
  await page.fill("#seed", "5");
  await page.click("#go");
  await page.waitForFunction(() => (document.querySelector("#paper")?.textContent?.length ?? 0) > 40);
  await page.click("#stop", { timeout: 2000 }).catch(() => {});
  await status(page, /^(Stopped after|Wrote) \d+ tokens in .* s\.$/);
  const before = await page.textContent("#paper");
  expect(before).toMatch(/^Once upon a time/);
  expect(Number((await page.textContent("#length"))?.replaceAll(",", ""))).toBeGreaterThan(16);
  expect(await page.textContent("#rate")).toMatch(/^\d/);
  expect(await page.getAttribute("#memory-plot svg", "aria-label")).toMatch(
    /the state has .* transformer's cache would/,
  );

  await page.click("#fork");
  await status(page, /same past/);
  expect(await page.locator("#texts button").count()).toBe(2);
  expect(await page.textContent("#paper")).toBe(before);
  await page.fill("#tokens", "10");
  await page.click("#go");
  await status(page, /^Wrote \d+ tokens in .* tokens came from the state/);

  await page.click("#hand");
  await status(page, /The state went over as sess_\w+: \d+ tokens, none computed again\. It goes on at the edge/);
  await page.click("#go");
  await status(page, /^Wrote \d+ tokens/);
  const atEdge = await page.textContent("#paper");
  await page.click("#hand");
  await status(page, /It goes on in this browser/);
  await page.click("#go");
  await status(page, /^Wrote \d+ tokens/);
  const forked = (await page.textContent("#paper"))!;
  expect(forked.startsWith(atEdge!)).toBe(true);

  await page.click("#texts button >> nth=0");
  expect(await page.textContent("#paper")).toBe(before);

  await page.reload();
  await page.waitForSelector("#texts button >> nth=1");
  expect(await page.textContent("#paper")).toBe(forked);
  await page.selectOption("#backend", "wasm");
  // Without a model it loads one.
  await page.click("#go");
  await status(page, /^Wrote \d+ tokens in .* tokens came from the state/);
  expect((await page.textContent("#paper"))!.startsWith(forked)).toBe(true);
  expect(errors).toEqual([]);
});

test("a saved state is opened on another page and goes on with the same text; what is none is refused", async () => {
  const { page } = await visit();
  await page.selectOption("#backend", "wasm");
  await page.click(".settings summary");
  await page.fill("#tokens", "12");
  await page.fill("#seed", "5");
  await page.click("#go");
  await status(page, /^Wrote/);
  const before = (await page.textContent("#paper"))!;
  const saving = page.waitForEvent("download");
  await page.click("#save");
  const file = await (await saving).path();
  await page.click("#go");
  await status(page, /^Wrote .* came from the state/);
  const onward = (await page.textContent("#paper"))!.slice(before.length);

  const { page: other, errors } = await visit();
  await other.selectOption("#backend", "wasm");
  await other.setInputFiles("#file", { name: "none.state", mimeType: "", buffer: Buffer.from("no state") });
  await status(other, /snapshot/);
  await other.setInputFiles("#file", file);
  await status(other, /^Opened a state of \d+ tokens/);
  expect(await other.textContent("#texts [aria-pressed=true]")).toMatch(/Opened state$/);
  await other.click(".settings summary");
  await other.fill("#tokens", "12");
  await other.fill("#words", "");
  await other.click("#go");
  await status(other, /^Wrote 12 tokens .* came from the state/);
  expect(await other.textContent("#paper")).toBe(onward);
  expect(errors).toEqual([]);
});

test("by keyboard: the tabs, a chat, and places for the demos", async () => {
  const { page, errors } = await visit();
  await page.focus("#tab-write");
  await page.keyboard.press("ArrowRight");
  await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe("tab-chat");
  await page.selectOption("#model", site.chat);
  await page.selectOption("#backend", "wasm");
  await page.focus("#words");
  await page.fill("#words", "Good morning");
  await page.keyboard.press("Enter");
  await status(page, /^Wrote \d+ tokens/);
  expect(await page.locator("#paper .turn").count()).toBe(2);
  for (const [tab, panel] of [
    ["tab-learn", "panel-learn"],
    ["tab-see", "panel-see"],
  ] as const) {
    await page.click(`#${tab}`);
    expect(await page.isVisible(`#${panel}`)).toBe(true);
    expect(await page.isVisible("#panel-text")).toBe(false);
  }
  // Every control has a name.
  const nameless = await page.$$eval("button, input, select, textarea, progress", (controls) =>
    controls
      .filter((c) => !(c.textContent?.trim() || (c as HTMLInputElement).labels?.length || c.getAttribute("aria-label")))
      .map((c) => c.id),
  );
  expect(nameless).toEqual([]);
  expect(errors).toEqual([]);
});

test("the page's thread is never taken for more than 8 ms by the client while it loads and generates", async () => {
  const page = await blankPage(browser.current);
  const session = await page.context().newCDPSession(page);
  const tasks: number[] = [];
  session.on("Tracing.dataCollected", ({ value }) => {
    for (const event of value as unknown as TraceEvent[]) tasks.push(...callbackMs(event));
  });
  await session.send("Tracing.start", {
    traceConfig: { includedCategories: ["devtools.timeline", "v8"] },
    transferMode: "ReportEvents",
  } as never);
  await page.evaluate(async (url) => {
    const model = await loadModel(url, { backend: "wasm" });
    await model.generate("Once upon a time", { maxTokens: 200 }).result;
    await model.dispose();
  }, `${site.url}/weights/${site.large}`);
  const ended = new Promise((resolve) => session.once("Tracing.tracingComplete", resolve));
  await session.send("Tracing.end");
  await ended;
  expect(tasks.length).toBeGreaterThan(50);
  expect(Math.max(...tasks)).toBeLessThan(8);
});

interface TraceEvent {
  readonly name: string;
  /** microseconds of the thread's own time, whatever else the machine does. */
  readonly tdur?: number;
  readonly args?: { readonly data?: { readonly url?: string } };
}

/** Milliseconds of calls into the client's own script. */
function callbackMs({ name, tdur = 0, args }: TraceEvent): number[] {
  return name === "FunctionCall" && args?.data?.url?.endsWith("/client.js") === true ? [tdur / 1000] : [];
}
