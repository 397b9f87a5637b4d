import { expect, test } from "vitest";
import { call } from "./support/client.ts";

test("GET /docs is a page that needs nothing from elsewhere, and may load nothing", async () => {
  const response = await call("GET", "/docs");
  expect(response.headers.get("content-type")).toBe("text/html; charset=UTF-8");
  const page = await response.text();
  expect(page).toMatch(/^<!doctype html>\n<html lang="en">/);
  expect(page).not.toMatch(/https?:|\/\/[a-z]|@import|url\(/);
  const policy = response.headers.get("content-security-policy")!;
  expect(policy).toContain("default-src 'none'");
  const [, nonce] = /script-src 'nonce-([^']+)'/.exec(policy)!;
  for (const [tag] of page.matchAll(/<(script|style)[^>]*>/g)) expect(tag).toContain(`nonce="${nonce}"`);
  expect(page).not.toMatch(/<[^>]* (style|on\w+)=/);
  expect(await (await call("GET", "/docs")).text()).not.toContain(nonce);
});

test("its script can be read by a browser, and every control has a name", async () => {
  const page = await (await call("GET", "/docs")).text();
  const [, script] = /<script[^>]*>([\s\S]*)<\/script>/.exec(page)!;
  // Parsed, not run.
  expect(() => new Function(script!)).not.toThrow();
  expect(script).not.toMatch(/innerHTML|insertAdjacent|document\.write|eval\(/);
  for (const [input] of page.matchAll(/<label>[\s\S]*?<\/label>/g)) expect(input).toMatch(/^<label>\w/);
  expect(page).toContain("color-scheme: light dark");
});
