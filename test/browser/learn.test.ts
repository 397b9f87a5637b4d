import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { features } from "../../worker/browser/page/learn/features.ts";
import { cells, openLearn } from "./learn-page.ts";
import { useBrowser } from "./visit.ts";

const browser = useBrowser();

const open = (route?: (page: Page) => Promise<unknown>) => openLearn(browser.current, route);

/** The points of a curve in pixels of the drawing. */
const curve = async (page: Page, style: string) =>
  ((await page.getAttribute(`.curve.${style}`, "d")) ?? "")
    .split(/[ML]/)
    .slice(1)
    .map((p) => p.split(" ").map(Number));

/** What the page asks of a model with so many examples, and the answer. */
async function lastQuestion(page: Page, model: string, count: number) {
  const response = await page.waitForResponse((response) => {
    const body = response.url().endsWith("/v1/icl/predictions") ? response.request().postDataJSON() : undefined;
    return body?.model.startsWith(model) && body.examples.length === count;
  });
  const request = response.request().postDataJSON() as { examples: { x: number[]; y: number }[]; query: number[][] };
  const reply = (await response.json()) as { predictions: number[]; usage: { state_bytes: number } };
  return { request, reply };
}

test("points are drawn, dragged, moved by keys and removed; the curves are the models' answers; states grow or do not", async () => {
  const page = await open();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.waitForSelector(".curve.m1");
  expect(await page.locator(".dot").count()).toBe(12);
  expect(await page.isVisible("#learn-none")).toBe(false);
  expect(await page.locator("#learn-rows th").allTextContents()).toEqual([
    "least squares",
    "icl-gpt2-linear",
    "icl-mamba-linear",
  ]);
  await page.selectOption("#learn-where", "rest");
  await page.selectOption("#learn-layout", "zeros");
  await page.click("#learn-clear");
  expect(await page.locator(".dot").count()).toBe(0);

  const asked = lastQuestion(page, "icl-mamba-linear@", 3);
  const box = (await page.locator(".board").boundingBox())!;
  const at = (x: number, y: number) => ({ x: box.width * x, y: box.height * y });
  for (const [x, y] of [
    [0.2, 0.7],
    [0.5, 0.5],
    [0.8, 0.3],
  ] as const)
    await page.click(".board", { position: at(x, y) });
  expect(await page.locator(".dot").count()).toBe(3);
  // x and y in the models' numbers: three points of a line.
  const points = [
    { x: -1.5, y: -3.6 },
    { x: 0, y: 0 },
    { x: 1.5, y: 3.6 },
  ];
  const ys = async (style: string) => (await curve(page, style)).map(([, y]) => 9 - (y! / 400) * 18);
  const xs = Array.from({ length: 26 }, (_, i) => -2.5 + (i / 25) * 5);
  const line = await ys("squares");
  for (const [i, y] of line.entries()) expect(y).toBeCloseTo(2.4 * xs[i]!, 0);

  const { request, reply } = await asked;
  for (const [i, { x, y }] of request.examples.entries()) {
    expect(x.slice(1)).toEqual([1, 0, 0, 0]);
    expect(Math.hypot(x[0]! - points[i]!.x, y - points[i]!.y)).toBeLessThan(0.1);
  }
  expect(request.query).toEqual(xs.map((x) => features(x, 5)));
  await expect.poll(async () => (await cells(page, 2))[0]).toBe(`${reply.usage.state_bytes.toLocaleString("en")} B`);
  const seen = await ys("m1");
  for (const [i, y] of reply.predictions.entries()) expect(seen[i]).toBeCloseTo(y, 1);

  const number = (text?: string) => Number(text?.replace(/\D/g, ""));
  // Attention's answer comes by itself: of two examples it would be 4096.
  await expect.poll(async () => number((await cells(page, 1))[0])).toBe(6144);
  // With fewer examples attention remembers less, Mamba the same.
  const [attention, mamba] = [await cells(page, 1), await cells(page, 2)];
  await page.focus("#learn-seen");
  await page.keyboard.press("ArrowLeft");
  expect(await page.textContent("#learn-seen-label")).toBe("Examples seen: 2 of 3");
  await expect.poll(async () => number((await cells(page, 1))[0])).toBe((number(attention[0]) * 2) / 3);
  expect((await cells(page, 2))[0]).toBe(mamba[0]);
  expect((await cells(page, 0))[1]).toMatch(/^\d+\.\d{3}$/);

  // Dragged, and by keys.
  const before = await page.getAttribute(".dot >> nth=2", "aria-label");
  await page.evaluate(() => scrollTo(0, 0));
  const { x, y, width, height } = (await page.locator(".board").boundingBox())!;
  await page.mouse.move(x + width * 0.8, y + height * 0.3);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.8, y + height * 0.7, { steps: 4 });
  await page.mouse.up();
  expect(await page.getAttribute(".dot >> nth=2", "aria-label")).not.toBe(before);
  expect(await page.getAttribute(".dot >> nth=2", "aria-label")).toMatch(/^Example 3: x 1\.5, y -3\.6\./);
  await page.focus(".dot >> nth=2");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  expect(await page.getAttribute(".dot >> nth=2", "aria-label")).toMatch(/^Example 3: x 1\.5, y -3\.0\./);
  await page.keyboard.press("Delete");
  expect(await page.locator(".dot").count()).toBe(2);

  // All that it says, however seldom this process gets to look.
  await page.evaluate(() => {
    const label = document.querySelector<HTMLElement>("#learn-seen-label")!;
    const said: string[] = [];
    new MutationObserver(() => {
      if (said.at(-1) !== label.textContent) said.push(label.textContent);
      label.dataset.said = said.join(", ");
    }).observe(label, { childList: true });
  });
  await page.click("#learn-play");
  await expect
    .poll(() => page.getAttribute("#learn-seen-label", "data-said"))
    .toBe([0, 1, 2].map((seen) => `Examples seen: ${seen} of 2`).join(", "));
  expect(await page.textContent("#learn-status")).toBe("");
  expect(errors).toEqual([]);
  await page.context().close();
});

test("a model that sees more examples than it was trained with is named, of those that are shown", async () => {
  const page = await open();
  await page.waitForSelector(".curve.m1");
  const beyond = () => page.textContent("#learn-beyond");
  expect(await beyond()).toBe(
    "icl-mamba-linear was trained with up to 5 examples: beyond them the curve may be worse.",
  );
  await page.fill("#learn-seen", "5");
  expect(await beyond()).toBe("");
  await page.fill("#learn-seen", "6");
  expect(await beyond()).toMatch(/trained with up to 5/);
  await page.uncheck('tr:has-text("icl-mamba-linear") input');
  expect(await beyond()).toBe("");
  await page.context().close();
});

test("the models compute in this browser unless the edge is chosen, and say the same everywhere", async () => {
  const page = await open();
  let asked = 0;
  page.on("request", (request) => {
    if (request.url().endsWith("/v1/icl/predictions")) asked++;
  });
  const curves: number[][][] = [];
  for (const [where, name] of [
    ["wasm", "WASM"],
    ["rest", "edge"],
    ["session", "session: \\+12, 0 kept"],
    ["webgpu", "WebGPU"],
  ] as const) {
    if (where !== "wasm") await page.selectOption("#learn-where", where);
    const answered = new RegExp(`^\\d+ ms, ${name}$`);
    for (const row of [1, 2])
      await expect.poll(async () => (await cells(page, row))[2], { timeout: 200_000 }).toMatch(answered);
    for (const style of ["m0", "m1"]) curves.push(await curve(page, style));
    expect(asked > 0).toBe(where !== "wasm");
    expect(await page.textContent("#learn-status")).toBe("");
  }
  const [gpt2, mamba, ...others] = curves;
  expect(gpt2).toHaveLength(26);
  // To a tenth of a pixel of the drawing.
  for (const [i, points] of others.entries()) {
    const first = i % 2 === 0 ? gpt2! : mamba!;
    for (const [j, [x, y]] of points.entries()) {
      expect(x).toBe(first[j]![0]);
      expect(Math.abs(y! - first[j]![1]!)).toBeLessThan(0.11);
    }
  }
  await page.context().close();
});

test("another API key leaves no Web Worker of the last one, and loads nothing anew that computes here", async () => {
  const page = await open();
  await page.waitForSelector(".curve.m1");
  await page.uncheck('tr:has-text("icl-gpt2-linear") input');
  const before = page.workers().length;
  const keys: (string | undefined)[] = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/v1/icl/predictions")) keys.push(request.headers().authorization);
  });
  for (const key of ["one", "two", "three"]) {
    await page.click("#key-open");
    await page.fill("#key", key);
    await page.click("#learn-line");
    await expect.poll(async () => (await cells(page, 2))[2]).toMatch(/WASM$/);
  }
  expect(page.workers().length).toBe(before);
  await page.selectOption("#learn-where", "rest");
  for (const key of ["one", "two", "three"]) {
    await page.click("#key-open");
    await page.fill("#key", key);
    await page.click("#learn-line");
    await expect.poll(() => keys.at(-1)).toBe(`Bearer ${key}`);
    await expect.poll(async () => (await cells(page, 2))[2]).toMatch(/edge$/);
  }
  await expect.poll(() => page.workers().length).toBeLessThanOrEqual(before);
  await page.context().close();
});

test("without an in-context model it says so, and what to do; what the Worker refuses is shown", async () => {
  const none = await open((page) => page.route("**/weights/index.json", (route) => route.fulfill({ json: [] })));
  await none.waitForSelector("#learn-none", { state: "visible" });
  expect(await none.textContent("#learn-none")).toMatch(/None is\s+installed: train one.*convert it/s);
  expect(await none.isVisible("#learn")).toBe(false);
  await none.context().close();
  const refused = await open((page) =>
    page.route("**/v1/icl/predictions", (route) =>
      route.fulfill({ status: 429, json: { error: { message: "too many requests: come back in 3 s" } } }),
    ),
  );
  await refused.selectOption("#learn-where", "rest");
  await expect
    .poll(() => refused.textContent("#learn-status"))
    .toMatch(/^icl-gpt2-linear: too many requests: come back in 3 s\. icl-mamba-linear: too many .* 3 s\.$/);
  await refused.context().close();
});
