import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { DevServer } from "../../../scripts/lib/dev-server.ts";
import { startTestServer } from "./server.ts";

const PAGE = "https://page.example.com";
const named = (name: string, fields: object) => ({
  name,
  sha256: createHash("sha256").update(`${name}-key`).digest("hex"),
  ...fields,
});
const API_KEYS = JSON.stringify([
  named("app", { scopes: ["infer"] }),
  named("ops", { scopes: ["admin"] }),
  named("page", { scopes: ["infer"], publishable: true, origins: [PAGE], requests_per_minute: 4, max_tokens: 3 }),
]);

let server: DevServer;
beforeAll(async () => {
  server = await startTestServer({ API_KEYS, LOG_LEVEL: "info" });
}, 120_000);
afterAll(() => server?.[Symbol.asyncDispose]());

function send(key: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${server.url}${path}`, {
    headers: { authorization: `Bearer ${key}-key`, ...headers },
    ...(body !== undefined && { method: "POST", body: JSON.stringify(body) }),
  });
}

test("keys have their scopes, origins, limits of output and of rate in the real runtime", async () => {
  const body = { model: "tiny", prompt: "a", logit_bias: { "0": -100 } };
  const page = (fields: object): Promise<Response> =>
    send("page", "/v1/completions", { ...body, ...fields }, { origin: PAGE });
  expect((await send("page", "/v1/completions", body)).status).toBe(403);
  expect((await send("app", "/metrics")).status).toBe(403);
  expect((await send("ops", "/v1/models")).status).toBe(403);
  const reply = await page({});
  expect(await reply.json()).toMatchObject({ usage: { completion_tokens: 3 } });
  expect(reply.headers.get("x-ratelimit-remaining-requests")).toBe("3");
  for (const [fields, status] of [
    [{ max_tokens: 4 }, 400],
    [{ stream: true }, 200],
    [{ prompt: "" }, 400],
    [{}, 429],
  ] as const) {
    const response = await page(fields);
    await response.text();
    expect(response.status).toBe(status);
    if (status === 429) expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
  }
  expect(
    (await (await send("app", "/v1/completions", { ...body, max_tokens: 9 })).json()).usage.completion_tokens,
  ).toBe(9);
  const metrics = await (await send("ops", "/metrics")).text();
  expect(metrics).toContain('mamba_edge_requests_total{method="POST",route="/v1/completions",status="429"} 1\n');
  expect(metrics).toContain('mamba_edge_tokens_total{kind="generated"} 15\n');
});
