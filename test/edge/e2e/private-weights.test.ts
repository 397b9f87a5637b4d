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
  named("page", { scopes: ["infer"], publishable: true, origins: [PAGE] }),
]);

let server: DevServer;
let shard = "";
let bytes = 0;
beforeAll(async () => {
  const edit = (config: string): string => config.replace("run_worker_first = [", 'run_worker_first = ["/weights/*", ');
  server = await startTestServer({ API_KEYS, PRIVATE_WEIGHTS: "1", CORS_ORIGINS: PAGE }, { edit });
  const index = await (await get("/weights/index.json", "app")).json();
  shard = `/weights/${index[0].id}/shard-000.bin`;
  ({ bytes } = index[0]);
}, 120_000);
afterAll(() => server?.[Symbol.asyncDispose]());

function get(path: string, key?: string, headers: Record<string, string> = {}): Promise<Response> {
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}-key` };
  return fetch(`${server.url}${path}`, { headers: { ...authorization, ...headers } });
}

test("with PRIVATE_WEIGHTS=1 a package's files and their list are for who has a key", async () => {
  const rows: [key: string | undefined, headers: Record<string, string>, status: number][] = [
    [undefined, {}, 401],
    ["wrong", {}, 401],
    ["ops", {}, 403],
    ["page", {}, 403],
    ["page", { origin: "https://evil.example.com" }, 403],
    ["page", { origin: PAGE }, 200],
    ["app", {}, 200],
  ];
  const ways = ["index.json", shard.slice("/weights/".length), "none/shard-000.bin"];
  for (const [key, headers, status] of rows) {
    for (const way of ways) {
      const response = await get(`/weights/${way}`, key, headers);
      const wanted = status === 200 && way.startsWith("none") ? 404 : status;
      expect(response.status, `${key} ${JSON.stringify(headers)} ${way}`).toBe(wanted);
      const body = await response.arrayBuffer();
      if (wanted !== 200) expect(new TextDecoder().decode(body)).toMatch(/^\{"error":/);
    }
  }
  // Other spellings of the same path.
  for (const path of [shard.replace("/weights", "//weights"), shard.replace("weights", "%77eights"), `/x/..${shard}`]) {
    const response = await get(path);
    expect([401, 404], path).toContain(response.status);
    await response.text();
  }
});

test("they may be kept by who asked for them alone, those with an id in their path for good", async () => {
  const file = await get(shard, "app");
  expect((await file.arrayBuffer()).byteLength).toBe(bytes);
  expect(file.headers.get("cache-control")).toBe("private, max-age=31536000, immutable");
  expect(file.headers.get("access-control-allow-origin")).toBe(null);
  const list = await get("/weights/index.json", "page", { origin: PAGE });
  expect(list.headers.get("cache-control")).toBe("private, max-age=60");
  expect(list.headers.get("access-control-allow-origin")).toBe(PAGE);
  await list.text();
});

test("models are served as ever", async () => {
  const headers = { authorization: "Bearer app-key" };
  const body = JSON.stringify({ model: "tiny", prompt: "a", max_tokens: 1 });
  expect((await fetch(`${server.url}/v1/completions`, { method: "POST", headers, body })).status).toBe(200);
});
