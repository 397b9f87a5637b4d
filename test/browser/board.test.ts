import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { cells, openLearn } from "./learn-page.ts";
import { site, useBrowser } from "./visit.ts";

const browser = useBrowser();
const open = () => openLearn(browser.current);

/** Where a point lies, to a tenth. */
async function placeOf(page: Page, index: number): Promise<{ x: number; y: number }> {
  const [, x, y] = (await page.getAttribute(`.dot >> nth=${index}`, "aria-label"))!.match(/x (\S+), y (\S+)\. /)!;
  return { x: Number(x), y: Number(y) };
}

/** Least squares of one point: of all lines through it the one of the shortest weights. */
function shortestLine({ x, y }: { x: number; y: number }): (at: number) => number {
  return (at) => (y * (x * at + 1)) / (x * x + 1);
}

test("a finger taps points in and scrolls over the board; what it drags keeps its focus; a button adds one for the keys", async () => {
  const page = await (
    await browser.current.newContext({ viewport: { width: 390, height: 800 }, hasTouch: true })
  ).newPage();
  await page.goto(site.url);
  await page.click("#tab-learn");
  await page.waitForSelector(".curve.m1");
  await page.click("#learn-clear");
  await page.locator(".board").scrollIntoViewIfNeeded();
  const { x, y, width, height } = (await page.locator(".board").boundingBox())!;
  await page.touchscreen.tap(x + width / 4, y + height / 4);
  expect(await page.locator(".dot").count()).toBe(1);
  // As large on the screen as elsewhere.
  expect((await page.locator(".dot").boundingBox())!.width).toBeGreaterThan(13);
  const client = await page.context().newCDPSession(page);
  const touch = (type: "touchStart" | "touchMove" | "touchEnd", px?: number, py?: number) =>
    client.send("Input.dispatchTouchEvent", { type, touchPoints: px === undefined ? [] : [{ x: px, y: py! }] });
  await touch("touchStart", x + width / 4, y + height / 4);
  for (let i = 1; i <= 4; i++) await touch("touchMove", x + (width * (2 + i)) / 8, y + height / 4);
  await touch("touchEnd");
  expect(await page.getAttribute(".dot", "aria-label")).toMatch(/^Example 1: x 1\.3, y 4\.5\./);

  const before = await page.evaluate(() => scrollY);
  await touch("touchStart", x + width / 2, y + height * 0.9);
  for (let i = 1; i <= 6; i++) await touch("touchMove", x + width / 2, y + height * 0.9 - 25 * i);
  await touch("touchEnd");
  await expect.poll(() => page.evaluate(() => scrollY)).toBeGreaterThan(before);
  expect(await page.locator(".dot").count()).toBe(1);

  const first = await placeOf(page, 0);
  await page.click("#learn-add");
  expect(await page.evaluate(() => document.activeElement!.getAttribute("aria-label"))).toMatch(/^Example 2: /);
  const added = await placeOf(page, 1);
  // About the line through the origin and the only point there is, and not always at the same place.
  expect(Math.abs(added.y - shortestLine(first)(added.x))).toBeLessThan(0.6);
  await page.keyboard.press("Shift+ArrowLeft");
  await page.keyboard.press("ArrowDown");
  const moved = await placeOf(page, 1);
  expect(moved.x - added.x).toBeCloseTo(-0.5, 1);
  expect(moved.y - added.y).toBeCloseTo(-0.3, 1);
  await page.keyboard.press("Delete");
  expect(await page.evaluate(() => document.activeElement!.getAttribute("aria-label"))).toMatch(/^Example 1/);
  await page.context().close();
});

test("the points are one stop of the Tab key; Page Up and Page Down go from one to the next", async () => {
  const page = await open();
  await page.waitForSelector(".curve.m1");
  const focused = () =>
    page.evaluate(() => document.activeElement!.getAttribute("aria-label") ?? document.activeElement!.id);
  await page.focus("#learn-seen");
  await page.keyboard.press("Shift+Tab");
  expect(await focused()).toMatch(/^Example 1: .*Page Down go to the others$/);
  await page.keyboard.press("PageUp");
  expect(await focused()).toMatch(/^Example 1:/);
  await page.keyboard.press("PageDown");
  await page.keyboard.press("PageDown");
  expect(await focused()).toMatch(/^Example 3:/);
  await page.keyboard.press("ArrowUp");
  expect(await focused()).toMatch(/^Example 3:/);
  await page.keyboard.press("Tab");
  expect(await focused()).toBe("learn-seen");
  await page.keyboard.press("Shift+Tab");
  expect(await focused()).toMatch(/^Example 3:/);
  await page.context().close();
});

test("what is drawn with the mouse follows it until it is let go", async () => {
  const page = await open();
  await page.waitForSelector(".curve.m1");
  await page.click("#learn-clear");
  await page.evaluate(() => scrollTo(0, 0));
  const { x, y, width, height } = (await page.locator(".board").boundingBox())!;
  await page.mouse.move(x + width / 4, y + height / 4);
  await page.mouse.down();
  await page.mouse.move(x + width / 2, y + height / 2, { steps: 3 });
  await page.mouse.up();
  await page.mouse.move(x + width / 8, y + height / 2);
  expect(await page.locator(".dot").evaluateAll((dots) => dots.map((dot) => dot.getAttribute("aria-label")))).toEqual([
    expect.stringMatching(/^Example 1: x -?0\.0, y -?0\.0\./),
  ]);
  await page.context().close();
});

test("what is held goes with its point; a second finger neither draws nor moves", async () => {
  const page = await open();
  await page.waitForSelector(".curve.m1");
  await page.click("#learn-clear");
  await page.evaluate(() => scrollTo(0, 0));
  const { x, y, width, height } = (await page.locator(".board").boundingBox())!;
  const names = () => page.locator(".dot").evaluateAll((dots) => dots.map((dot) => dot.getAttribute("aria-label")));
  await page.mouse.click(x + width / 4, y + height / 4);
  await page.mouse.click(x + width / 2, y + height / 2);
  await page.mouse.down();
  await page.keyboard.press("Delete");
  await page.mouse.move(x + width * 0.7, y + height * 0.7, { steps: 3 });
  await page.mouse.up();
  expect(await names()).toEqual([expect.stringMatching(/^Example 1: x -1\.[23], y 4\.5\./)]);

  await page.mouse.move(x + width / 4, y + height / 4);
  await page.mouse.down();
  const second = { pointerId: 9, pointerType: "touch", isPrimary: false, bubbles: true, button: 0 };
  for (const type of ["pointerdown", "pointermove", "pointerup"]) {
    await page.dispatchEvent(".board", type, { ...second, clientX: x + width * 0.9, clientY: y + height * 0.9 });
  }
  await page.mouse.move(x + width / 2, y + height / 2);
  await page.mouse.up();
  expect(await names()).toEqual([expect.stringMatching(/^Example 1: x -?0\.0, y -?0\.0\./)]);
  await page.context().close();
});

test("every architecture's state stands beside the curves: the caches grow with each example, the others never", async () => {
  const page = await open();
  await page.waitForSelector(".curve.m1");
  const table = async () =>
    Object.fromEntries(
      (await page.locator("#learn-states tr").all()).length === 0
        ? []
        : await page
            .locator("#learn-states tr")
            .evaluateAll((rows) =>
              rows.map((row) => [row.children[0]!.textContent, [...row.children].slice(1).map((c) => c.textContent)]),
            ),
    ) as Record<string, string[]>;
  const twelve = await table();
  expect(Object.keys(twelve)).toEqual(["Transformer", "Mamba", "S4", "S4-Mamba", "Standard Hybrid", "MambaFormer"]);
  expect(twelve.Transformer).toEqual(["147,456 B", "12,288 B", "12 MB"]);
  expect(twelve.Mamba).toEqual(["194,560 B", "nothing", "194,560 B"]);
  await page.focus("#learn-seen");
  await page.keyboard.press("ArrowLeft");
  const eleven = await table();
  for (const [name, [now, adds]] of Object.entries(twelve)) {
    const number = (text: string) => (text === "nothing" ? 0 : Number(text.replace(/\D/g, "")));
    expect(number(now!) - number(eleven[name]![0]!), name).toBe(number(adds!));
  }
  expect(await page.textContent("#learn-crossing")).toMatch(/larger one from 16 examples on/);
  await page.context().close();
});

test("points that are added lie at places of their own, in view, about the line of the others", async () => {
  const page = await open();
  await page.waitForSelector(".curve.m1");
  const line = await page.evaluate(() => document.querySelectorAll(".dot").length);
  for (let i = 0; i < 5; i++) await page.click("#learn-add");
  const places = await Promise.all(Array.from({ length: line + 5 }, (_, i) => placeOf(page, i)));
  const mean = (of: (place: { x: number; y: number }) => number) =>
    places.reduce((sum, p) => sum + of(p), 0) / places.length;
  const [x, y] = [mean((p) => p.x), mean((p) => p.y)];
  const slope = mean((p) => (p.x - x) * (p.y - y)) / mean((p) => (p.x - x) ** 2);
  for (const place of places) {
    expect(Math.abs(place.x)).toBeLessThanOrEqual(2);
    expect(Math.abs(place.y - y - slope * (place.x - x))).toBeLessThan(1.5);
  }
  expect(new Set(places.slice(line).map((p) => p.x)).size).toBeGreaterThan(1);
  await page.context().close();
});

test("a model that is full says so and has no curve, while others go on; with fewer examples it is back", async () => {
  const page = await open();
  await page.waitForSelector(".curve.m0");
  await page.click("#learn-clear");
  // Its table of positions has 202: 100 examples, and a place for the question.
  await page.evaluate(() => {
    for (let i = 0; i < 102; i++) document.querySelector<HTMLElement>("#learn-add")!.click();
  });
  await expect
    .poll(() => page.textContent("#learn-room"))
    .toBe("icl-gpt2-linear has room for 100 examples and draws no curve beyond that.");
  await expect.poll(async () => (await cells(page, 2))[2]).toMatch(/^\d+ ms, WASM$/);
  expect(await cells(page, 1)).toEqual(["–", "–", "–"]);
  expect(await page.locator(".curve.m0").count()).toBe(0);
  expect(await page.textContent("#learn-beyond")).toBe(
    "icl-mamba-linear was trained with up to 5 examples: beyond them the curve may be worse.",
  );
  // Nothing is asked that can only be refused.
  const errors: string[] = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  for (const where of ["rest", "session"]) {
    await page.selectOption("#learn-where", where);
    await expect.poll(async () => (await cells(page, 2))[2]).toMatch(/^\d+ ms, (edge|session)/);
    await page.click("#learn-add");
    await expect.poll(async () => (await cells(page, 2))[2]).toMatch(/^\d+ ms, (edge|session)/);
  }
  await page.selectOption("#learn-where", "wasm");
  expect(errors).toEqual([]);
  await page.click("#learn-last");
  await page.click("#learn-last");
  await page.click("#learn-last");
  await page.click("#learn-last");
  await expect.poll(async () => (await cells(page, 1))[2]).toMatch(/^\d+ ms, WASM$/);
  expect(await page.textContent("#learn-room")).toBe("");
  await page.context().close();
});
