import { expect, test } from "vitest";
import { cells, openLearn } from "./learn-page.ts";
import { useBrowser } from "./visit.ts";

const browser = useBrowser();

test("a session at the edge is told each example once; another past begins another, and what is left behind is deleted", async () => {
  const page = await openLearn(browser.current);
  const asked: { path: string; body: { examples?: unknown[]; session?: string } | undefined }[] = [];
  page.on("request", (request) => {
    const path = new URL(request.url()).pathname;
    if (path.startsWith("/v1/"))
      asked.push({ path: `${request.method()} ${path}`, body: request.postDataJSON() ?? undefined });
  });
  for (const name of ["icl-gpt2-linear"]) await page.uncheck(`tr:has-text("${name}") input`);
  await page.selectOption("#learn-where", "session");
  const time = async () => (await cells(page, 2))[2];
  await expect.poll(time).toMatch(/^\d+ ms, session: \+12, 0 kept$/);
  const whole = await cells(page, 2);
  await page.locator(".board").click({ position: { x: 20, y: 20 } });
  await expect.poll(time).toMatch(/\+1, 12 kept$/);
  // Without the new one: a past that the session does not have.
  await page.click("#learn-last");
  await expect.poll(time).toMatch(/\+12, 0 kept$/);
  expect((await cells(page, 2)).slice(0, 2)).toEqual(whole.slice(0, 2));
  const sent = asked.filter(({ path }) => path.endsWith("/icl/predictions")).map(({ body }) => body!);
  expect(sent.map(({ examples }) => examples!.length)).toEqual([12, 1, 12]);
  expect(sent[0]!.session).toBe(sent[1]!.session);
  expect(sent[2]!.session).not.toBe(sent[0]!.session);
  await page.selectOption("#learn-where", "wasm");
  await expect
    .poll(() => asked.filter(({ path }) => path.startsWith("DELETE")).map(({ path }) => path.split("/").at(-1)))
    .toEqual([sent[0]!.session, sent[2]!.session]);
  await page.context().close();
});

test("a session that is still being made when another place is chosen is deleted too", async () => {
  const page = await openLearn(browser.current);
  const deleted: string[] = [];
  page.on("request", (request) => {
    if (request.method() === "DELETE") deleted.push(new URL(request.url()).pathname);
  });
  const asked = Promise.withResolvers<void>();
  const chosen = Promise.withResolvers<void>();
  const made: string[] = [];
  await page.route("**/v1/sessions", async (route) => {
    asked.resolve();
    await chosen.promise;
    const response = await route.fetch();
    made.push(((await response.json()) as { id: string }).id);
    await route.fulfill({ response });
  });
  await page.waitForSelector(".curve.m1");
  await page.uncheck('tr:has-text("icl-gpt2-linear") input');
  await page.selectOption("#learn-where", "session");
  await asked.promise;
  await page.selectOption("#learn-where", "wasm");
  chosen.resolve();
  await expect.poll(() => deleted).toEqual([expect.stringMatching(/^\/v1\/sessions\/sess_/)]);
  expect(deleted).toEqual(made.map((id) => `/v1/sessions/${id}`));
  await expect.poll(async () => (await cells(page, 2))[2]).toMatch(/^\d+ ms, WASM$/);
  expect(await page.textContent("#learn-status")).toBe("");
  await page.context().close();
});
