import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { sabotage, slowEvents } from "./sabotage.ts";
import { site, useBrowser } from "./visit.ts";

const browser = useBrowser();

const status = (page: Page, pattern: RegExp) =>
  expect.poll(() => page.textContent("#status"), { timeout: 60_000 }).toMatch(pattern);

/** @param code runs in the client's Web Worker before it does */
async function visit(code?: string): Promise<{ page: Page; errors: string[] }> {
  const page = await (await browser.current.newContext()).newPage();
  if (code !== undefined) await sabotage(page, code);
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
  expect(await page.textContent("#model-note")).toBe("a-story on WebAssembly, as chosen.");
  // What is loaded need not be loaded: another choice may be.
  const loud = () => page.locator("#load").evaluate((load) => load.classList.contains("primary"));
  expect(await loud()).toBe(false);
  await page.selectOption("#backend", "rest");
  expect(await loud()).toBe(true);
  await page.selectOption("#backend", "wasm");
  expect(await loud()).toBe(false);

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
  expect(await page.locator("#memory-plot text").allTextContents()).not.toContain("0 kB");

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

test("what is stopped at the edge is what the edge goes on from; stopped before its first token nothing is", async () => {
  const { page, errors } = await visit(slowEvents);
  await page.selectOption("#backend", "rest");
  await page.click(".settings summary");
  await page.fill("#temperature", "1.2");
  await page.fill("#seed", "5");
  await page.fill("#tokens", "4000");
  await page.click("#load");
  await status(page, /Ready/);
  await page.fill("#words", "Once upon a time");
  await page.click("#go");
  await page.waitForFunction(() => (document.querySelector("#paper")?.textContent?.length ?? 0) > 60);
  await page.click("#stop");
  await status(page, /^Stopped after \d+ tokens/);
  const stopped = (await page.textContent("#paper"))!;
  const made = Number((await page.textContent("#status"))!.match(/\d+/)![0]);
  await page.fill("#tokens", "30");
  await page.click("#go");
  await status(page, /^Wrote \d+ tokens .* came from the state/);
  const onward = (await page.textContent("#paper"))!;
  expect(onward.startsWith(stopped)).toBe(true);
  expect(onward.length).toBeGreaterThan(stopped.length);
  const body = { model: site.story, prompt: "Once upon a time", seed: 5, temperature: 1.2, top_p: 0.95 };
  const whole = await fetch(`${site.url}/v1/completions`, {
    method: "POST",
    body: JSON.stringify({ ...body, max_tokens: made + 60, store: false }),
  });
  const { choices } = (await whole.json()) as { choices: { text: string }[] };
  expect(`Once upon a time${choices[0]!.text}`.startsWith(onward)).toBe(true);

  const stop = Promise.withResolvers<void>();
  await page.route("**/append", async (route) => {
    await stop.promise;
    await route.continue().catch(() => {});
  });
  await page.fill("#words", "And then");
  await page.click("#go");
  await page.click("#stop");
  await status(page, /^Stopped before the first token\.$/);
  stop.resolve();
  expect(await page.textContent("#paper")).toBe(onward);
  expect(await page.inputValue("#words")).toBe("And then");
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
  await other.waitForSelector("#open:not([disabled])");
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

test("a setting that cannot be is said at its field and in words, and nothing is written", async () => {
  const { page, errors } = await visit();
  await page.selectOption("#backend", "wasm");
  for (const { id, typed, fault } of [
    { id: "tokens", typed: "999999", fault: /^999999 cannot be; give a whole number from 1 to 4096, or nothing$/ },
    { id: "tokens", typed: "1.5", fault: /^1\.5 cannot be; give a whole number/ },
    { id: "temperature", typed: "2.5", fault: /^2\.5 cannot be; give a number from 0 to 2/ },
    { id: "top-p", typed: "0", fault: /^0 cannot be; give a number from 0\.05 to 1/ },
    { id: "seed", typed: "-3", fault: /^-3 cannot be; give a whole number from 0/ },
    { id: "seed", typed: "e", fault: /^this is no number/ },
  ]) {
    await page.evaluate(() => document.querySelector<HTMLDetailsElement>("#settings")!.setAttribute("open", ""));
    await page.fill(`#${id}`, "");
    await page.locator(`#${id}`).pressSequentially(typed);
    expect(await page.textContent(`#${id}-fault`)).toMatch(fault);
    await page.evaluate(() => document.querySelector("#settings")!.removeAttribute("open"));
    await page.click("#go");
    await status(page, /^(Tokens a turn|Temperature|Top p|Seed): /);
    expect(await page.isVisible(`#${id}`)).toBe(true);
    expect(await page.inputValue("#words")).toBe("Once upon a time, a little fox");
    expect(await page.locator("#paper .given").count()).toBe(0);
    await page.fill(`#${id}`, id === "tokens" ? "3" : "");
    expect(await page.textContent(`#${id}-fault`)).toBe("");
  }
  await page.fill("#temperature", "0.85"); // between two steps of the arrows
  await page.click("#go");
  await status(page, /^Wrote 3 tokens/);
  expect(errors).toEqual([]);
});

test("a generation that fails gives the words back, and the next one has them once", async () => {
  const { page } = await visit();
  await page.selectOption("#backend", "rest");
  let failing = true;
  await page.route("**/append", (route) =>
    failing ? route.fulfill({ status: 500, json: { error: { message: "out of order" } } }) : route.continue(),
  );
  await page.click(".settings summary");
  await page.fill("#tokens", "12");
  for (let i = 0; i < 2; i++) {
    await page.click("#go");
    await status(page, /out of order/);
    expect(await page.inputValue("#words")).toBe("Once upon a time, a little fox");
    expect(await page.locator("#paper .given").count()).toBe(0);
  }
  failing = false;
  await page.click("#go");
  await status(page, /^Wrote/);
  expect((await page.textContent("#paper"))!.split("little fox").length).toBe(2);
  // What was measured and said of one text does not stand beside another.
  expect(await page.textContent("#first")).toMatch(/ms$/);
  await page.click("#new");
  expect(await page.textContent("#status")).toBe("");
  expect(await page.isVisible("#first")).toBe(false);
});

test("the time plot stands at the text's true length when the edge goes on with it", async () => {
  const { page } = await visit();
  expect(await page.isVisible("#time")).toBe(false);
  expect(await page.isVisible("#figures")).toBe(false);
  await page.selectOption("#backend", "wasm");
  await page.click(".settings summary");
  await page.fill("#tokens", "60");
  await page.fill("#seed", "5");
  await page.fill("#words", "Once upon a time there was a fox. ".repeat(8));
  await page.click("#go");
  await status(page, /^Wrote/);
  await page.click("#hand");
  await status(page, /goes on at the edge/);
  await page.fill("#words", "And then a bear came along, and they went on together.");
  await page.click("#go");
  await status(page, /^Wrote/);
  const path = (await page.getAttribute("#time-plot path", "d"))!;
  const xs = path.split(/[ML]/).slice(1).map((p) => Number(p.split(" ")[0])); // biome-ignore format: a line
  expect(xs.length).toBeGreaterThan(4);
  expect(path.match(/M/g)).toHaveLength(1);
  expect(xs).toEqual(xs.toSorted((a, b) => a - b));
  // The last point is one of the last pieces, a few tokens each. 256 pixels are the plot's width, 1000 tokens.
  const length = Number((await page.textContent("#length"))!.replaceAll(",", ""));
  expect(length).toBeGreaterThan(300);
  expect(Math.abs(52 + (length / 1000) * 256 - xs.at(-1)!)).toBeLessThan(10);
});

test("a model without a tokenizer is not offered for writing; where there is no other, it says what to do", async () => {
  const page = await (await browser.current.newContext()).newPage();
  const entries = (await (await fetch(`${site.url}/weights/index.json`)).json()) as {
    id: string;
    tokenizer?: boolean;
  }[];
  expect(entries.find(({ id }) => id === site.story)?.tokenizer).toBe(true);
  const list = (json: unknown) => page.route("**/weights/index.json", (route) => route.fulfill({ json }));
  await list(entries.map((entry) => (entry.id === site.story ? { ...entry, tokenizer: false } : entry)));
  await page.goto(site.url);
  await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>("#load")!.disabled);
  const offered = await page.locator("#model option").evaluateAll((o) => o.map((e) => (e as HTMLOptionElement).value));
  expect(offered).toContain(site.chat);
  expect(offered).not.toContain(site.story);
  await list(entries.map((entry) => ({ ...entry, tokenizer: false })));
  await page.reload();
  await expect
    .poll(() => page.textContent("#model-note"))
    .toMatch(/^No model here can write: convert one with its tokenizer/);
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
      .filter((c) => !c.querySelector("img")?.alt)
      .map((c) => c.id),
  );
  expect(nameless).toEqual([]);
  expect(errors).toEqual([]);
});
