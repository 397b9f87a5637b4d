import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { site, useBrowser } from "./visit.ts";

const browser = useBrowser();
const golden = (name: string): string => fileURLToPath(new URL(`../golden/images/${name}`, import.meta.url));

test("/docs sends pictures as files of a form, and the other fields beside them", async () => {
  const page = await (await browser.current.newContext()).newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(`${site.url}/docs`);
  const endpoint = page.locator("details", { hasText: "POST /v1/images/classifications" });
  await endpoint.locator("summary").click();
  const output = endpoint.getByRole("status");
  await endpoint.getByRole("button", { name: "Send" }).click();
  expect(await output.isVisible()).toBe(false); // a picture is asked for first
  await endpoint.getByLabel("image").setInputFiles([golden("420.jpg"), golden("rgb.png")]);
  await endpoint.getByLabel("top_k").fill("2");
  await endpoint.getByRole("button", { name: "Send" }).click();
  await expect.poll(() => output.textContent()).toMatch(/^200 .*"image\.classifications"/s);
  const { data } = JSON.parse((await output.textContent())!.replace(/^200.*\n\n/, ""));
  expect(data.map(({ classes }: { classes: unknown[] }) => classes.length)).toEqual([2, 2]);
  // What takes JSON has its body as before, and what takes nothing has none.
  await page.locator("summary", { hasText: "GET /v1/models" }).first().click();
  const models = page.locator("details", { hasText: "GET /v1/models" }).first();
  await models.getByRole("button", { name: "Send" }).click();
  await expect.poll(() => models.getByRole("status").textContent()).toMatch(/^200/);
  expect(errors).toEqual([]);
});

test("/docs leads back to the playground", async () => {
  const page = await (await browser.current.newContext()).newPage();
  await page.goto(`${site.url}/docs`);
  await page.click("text=Back to the playground");
  await page.waitForSelector("#composer");
  expect(new URL(page.url()).pathname).toBe("/");
});

test("/docs offers bodies that an endpoint of examples, or of several kinds of tensors, answers", async () => {
  const page = await (await browser.current.newContext()).newPage();
  await page.goto(`${site.url}/docs`);
  const endpoint = (path: string) => page.locator("details", { has: page.getByText(`POST ${path}`, { exact: true }) });
  const icl = endpoint("/v1/icl/predictions");
  await icl.locator("summary").click();
  const offered: { examples: { x: number[]; y: number }[]; query: number[][] } = JSON.parse(
    await icl.getByLabel("Body").inputValue(),
  );
  expect([offered.query[0]!.length, offered.examples[0]!.x.length]).toEqual([10, 10]);
  // The models of these tests take 5 numbers.
  const examples = offered.examples.map(({ x, y }) => ({ x: x.slice(0, 5), y }));
  const query = offered.query.map((x) => x.slice(0, 5));
  await icl.getByLabel("Body").fill(JSON.stringify({ ...offered, model: "icl-mamba-linear", examples, query }));
  await icl.getByRole("button", { name: "Send" }).click();
  await expect.poll(() => icl.getByRole("status").textContent()).toMatch(/^200 .*"icl\.predictions"/s);

  const infer = endpoint("/v2/models/{name}/infer");
  await infer.locator("summary").click();
  await infer.getByLabel("name").fill("a-story");
  await infer.getByRole("button", { name: "Send" }).click();
  await expect.poll(() => infer.getByRole("status").textContent()).toMatch(/^200 .*"logits"/s);
  await page.context().close();
});
