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
  const endpoint = page.locator(".endpoint", { hasText: "POST /v1/images/classifications" });
  await endpoint.locator(":scope > summary").click();
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
  const models = page.locator(".endpoint", { hasText: "GET /v1/models" }).first();
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
  const endpoint = (path: string) =>
    page.locator(".endpoint", { has: page.getByText(`POST ${path}`, { exact: true }) });
  const icl = endpoint("/v1/icl/predictions");
  await icl.locator(":scope > summary").click();
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
  await infer.locator(":scope > summary").click();
  await infer.getByLabel("name").fill("a-story");
  await infer.getByRole("button", { name: "Send" }).click();
  await expect.poll(() => infer.getByRole("status").textContent()).toMatch(/^200 .*"logits"/s);
  await page.context().close();
});

test("/docs has the fields of an endpoint, folded: what each may be, its default and what it does", async () => {
  const page = await (await browser.current.newContext()).newPage();
  await page.goto(`${site.url}/docs`);
  const chat = page.locator(".endpoint", { has: page.getByText("POST /v1/chat/completions", { exact: true }) });
  await chat.locator(":scope > summary").click();
  const [body, reply] = [chat.locator(".fields").nth(0), chat.locator(".fields").nth(1)];
  expect(await body.locator("dl").isVisible()).toBe(false);
  await body.locator("summary").click();
  const rows = await body
    .locator("dt")
    .evaluateAll((names) =>
      names.map((name): [string, string] => [name.textContent!, (name.nextElementSibling as HTMLElement).innerText]),
    );
  const said = new Map(rows);
  expect(await body.locator("summary").textContent()).toBe(`Fields of the body (${rows.length})`);
  expect(said.get("messages")).toMatch(/^list \(1 to 4096\) of object · needed\nThe whole conversation/);
  expect(said.get("messages[].role")).toBe('"system" or "developer" or "user", or "assistant" · needed');
  // An assistant's may be left out.
  expect(said.get("messages[].content")).toBe("text, or list of object");
  expect(said.get("max_tokens")).toMatch(/^integer, 0 or more · default 128\nMost tokens to generate/);
  expect(said.get("top_p")).toMatch(/^number, above 0, at most 1 · default 1\nKeeps /);
  expect(said.get("stop")).toMatch(/^text, 1 to 256 characters, or list \(at most 16\) of text, 1 to 256 characters\n/);
  expect(said.get("stream")).toMatch(/^true or false · default false\n/);
  expect(said.get("stream_options.include_usage")).toMatch(/^true or false\nA last chunk/);
  expect(said.get("response_format.type")).toBe('"text", or "json_object", or "json_schema" · needed');
  expect(said.get("response_format.json_schema")).toBe("object");
  expect(rows.at(-1)).toEqual(["web_search_options", "null\nTo be left out: nothing is searched here."]);
  await reply.locator("summary").click();
  expect(await reply.locator("dt", { hasText: /^choices\[\]\.message\.content$/ }).isVisible()).toBe(true);

  // Every field that a body has by the document.
  const missing = await page.evaluate(async () => {
    interface Body {
      readonly $ref?: string;
      readonly anyOf?: readonly Body[];
      readonly properties?: object;
    }
    interface Operation {
      readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Body }>> };
      readonly parameters?: readonly { readonly name: string }[];
    }
    const {
      paths,
      components,
    }: {
      paths: Record<string, Record<string, Operation>>;
      components: { schemas: Record<string, Body> };
    } = await (await fetch("/openapi.json")).json();
    const gone: string[] = [];
    for (const [path, item] of Object.entries(paths)) {
      for (const [method, { requestBody, parameters }] of Object.entries(item)) {
        const named = `${method.toUpperCase()} ${path}`;
        const endpoint = [...document.querySelectorAll(".endpoint")].find(
          (each) => each.querySelector("summary code")!.textContent === named,
        );
        const shown = new Set([...(endpoint?.querySelectorAll("dt") ?? [])].map((name) => name.textContent));
        const names = Object.values(requestBody?.content ?? {})
          .flatMap(({ schema }) => schema.anyOf ?? [schema])
          .map((body) => (body.$ref ? components.schemas[body.$ref.split("/").at(-1)!]! : body))
          .flatMap(({ properties = {} }) => Object.keys(properties));
        for (const { name } of parameters ?? []) names.push(name);
        for (const name of names) if (!shown.has(name)) gone.push(`${named} ${name}`);
      }
    }
    return gone;
  });
  expect(missing).toEqual([]);
  await page.context().close();
});

test.each([
  "/v1/completions",
  "/v1/chat/completions",
  "/v1/responses",
  "/v1/sessions",
])("/docs offers a body that POST %s answers", async (path) => {
  const page = await (await browser.current.newContext()).newPage();
  await page.goto(`${site.url}/docs`);
  const endpoint = page.locator(".endpoint", { has: page.getByText(`POST ${path}`, { exact: true }) });
  await endpoint.locator(":scope > summary").click();
  await endpoint.getByRole("button", { name: "Send" }).click();
  await expect.poll(() => endpoint.getByRole("status").textContent()).toMatch(/^20[01] .*"id"/s);
  await page.context().close();
});

test("/docs offers an append that a session answers", async () => {
  const page = await (await browser.current.newContext()).newPage();
  await page.goto(`${site.url}/docs`);
  const session = await (await fetch(`${site.url}/v1/sessions`, { method: "POST", body: "{}" })).json();
  const append = page.locator(".endpoint", { has: page.getByText("POST /v1/sessions/{id}/append", { exact: true }) });
  await append.locator(":scope > summary").click();
  await append.getByLabel("id", { exact: true }).fill((session as { id: string }).id);
  await append.getByRole("button", { name: "Send" }).click();
  await expect.poll(() => append.getByRole("status").textContent()).toMatch(/^200 .*"snapshot"/s);
  await page.context().close();
});

test("/docs sends what is given of the query", async () => {
  const page = await (await browser.current.newContext()).newPage();
  await page.goto(`${site.url}/docs`);
  const sessions = page.locator(".endpoint", { has: page.getByText("GET /v1/sessions", { exact: true }) });
  await sessions.locator(":scope > summary").click();
  const output = sessions.getByRole("status");
  await sessions.getByRole("button", { name: "Send" }).click();
  await expect.poll(() => output.textContent()).toMatch(/^200 .*"has_more"/s);
  await sessions.getByLabel("limit").fill("0");
  await sessions.getByRole("button", { name: "Send" }).click();
  await expect.poll(() => output.textContent()).toMatch(/^400 .*limit is /s);
  await page.context().close();
});

test.each(["light", "dark"] as const)("/docs has the playground's colours, %s", async (colorScheme) => {
  const page = await (await browser.current.newContext({ colorScheme })).newPage();
  const colours = async (path: string): Promise<string[]> => {
    await page.goto(site.url + path);
    return page.evaluate(() =>
      ["back", "card", "ink", "soft", "line", "accent", "on-accent"].map((name) => {
        document.body.style.color = `var(--${name}, red)`;
        return getComputedStyle(document.body).color;
      }),
    );
  };
  const docs = await colours("/docs");
  expect(new Set(docs).size).toBe(7);
  expect(docs).toEqual(await colours("/"));
  await page.context().close();
});
