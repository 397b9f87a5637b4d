import { describe, expect, test } from "vitest";
import { parseKeys } from "../../worker/edge/http/keys.ts";
import { errorOf } from "./support/client.ts";
import { hashOf, namedKeys } from "./support/keys.ts";
import { separate } from "./support/separate.ts";

const PAGE = "https://page.example.com";
function as(key: string, headers: Record<string, string> = {}): RequestInit {
  return { headers: { authorization: `Bearer ${key}`, ...headers } };
}

function completion(key: string, fields: Record<string, unknown> = {}, headers: Record<string, string> = {}) {
  return { method: "POST", ...as(key, headers), body: JSON.stringify({ prompt: "a", max_tokens: 2, ...fields }) };
}

describe("a list of named keys", async () => {
  const API_KEYS = await namedKeys(
    { key: "app-key", name: "app", scopes: ["infer"] },
    { key: "ops-key", name: "ops", scopes: ["admin"] },
    { key: "page-key", name: "page", scopes: ["infer"], publishable: true, origins: [PAGE, "http://localhost"] },
    { key: "small-key", name: "small", scopes: ["infer", "admin"], max_tokens: 3 },
  );
  const { send } = separate({ API_KEYS });

  test("is known by its hashes alone: a hash is no key", async () => {
    expect((await send("/v1/models", as("app-key"))).status).toBe(200);
    for (const wrong of [await hashOf("app-key"), "app-key2", "app"]) {
      expect(await errorOf(await send("/v1/models", as(wrong)))).toMatchObject({ status: 401 });
    }
  });

  const rows: [key: string, path: string, status: number][] = [
    ["app-key", "/v1/models", 200],
    ["app-key", "/v2/models/tiny", 200],
    ["app-key", "/metrics", 403],
    ["ops-key", "/v1/models", 403],
    ["ops-key", "/v2/models/tiny", 403],
    ["ops-key", "/metrics", 200],
    ["small-key", "/v1/models", 200],
    ["small-key", "/metrics", 200],
    ["wrong", "/metrics", 401],
    ["wrong", "/v2/models/tiny", 401],
  ];
  test.each(rows)("%s at %s is a %i", async (key, path, status) => {
    const response = await send(path, as(key));
    expect(response.status).toBe(status);
    const text = await response.text();
    if (status === 403) expect(text).toContain("needs a key with the scope");
  });

  test("without the scope the error says which the key has and which it needs", async () => {
    expect(await errorOf(await send("/metrics", as("app-key")))).toEqual({
      status: 403,
      type: "permission_error",
      code: "insufficient_scope",
      param: null,
      message: "key app has the scope infer: /metrics needs a key with the scope admin",
    });
  });

  test("a publishable key serves its pages, and nobody else", async () => {
    for (const origin of [PAGE, "http://localhost"]) {
      expect((await send("/v1/completions", completion("page-key", {}, { origin }))).status).toBe(200);
    }
    const elsewhere = ["https://evil.example.com", "http://page.example.com", `${PAGE}:8443`, "null"];
    for (const headers of [{}, ...elsewhere.map((origin) => ({ origin }))]) {
      const error = await errorOf(await send("/v1/completions", completion("page-key", {}, headers)));
      expect(error).toMatchObject({ status: 403, code: "origin_not_allowed" });
    }
    // Browsers send no Origin with a page's GETs to where it came from.
    expect((await send("/v1/models", as("page-key", { "sec-fetch-site": "same-origin" }))).status).toBe(200);
    expect((await send("/v1/models", as("page-key", { "sec-fetch-site": "cross-site" }))).status).toBe(403);
  });

  test("a key's limit of output holds everywhere, and is the default where it is small", async () => {
    const tooMuch = await errorOf(await send("/v1/completions", completion("small-key", { max_tokens: 4 })));
    expect(tooMuch).toMatchObject({
      status: 400,
      param: "max_tokens",
      message: expect.stringMatching(/may generate 3/),
    });
    const page = completion("page-key", { max_tokens: 257 }, { origin: PAGE });
    expect(await errorOf(await send("/v1/completions", page))).toMatchObject({ status: 400, param: "max_tokens" });
    const fields = { max_tokens: undefined, logit_bias: { 0: -100 } };
    const reply = await send("/v1/completions", completion("small-key", fields));
    expect(await reply.json()).toMatchObject({ usage: { completion_tokens: 3 } });
    const { id } = await (await send("/v1/sessions", { method: "POST", ...as("small-key") })).json<{ id: string }>();
    const append = { method: "POST", ...as("small-key"), body: JSON.stringify({ text: "a", max_tokens: 4 }) };
    expect((await send(`/v1/sessions/${id}/append`, append)).status).toBe(400);
    // The deployment's limit is unchanged for others.
    expect((await send("/v1/completions", completion("app-key", { max_tokens: 4 }))).status).toBe(200);
  });

  test("another key's session is as one that does not exist", async () => {
    const { id } = await (await send("/v1/sessions", { method: "POST", ...as("app-key") })).json<{ id: string }>();
    const others = await errorOf(await send(`/v1/sessions/${id}`, as("small-key")));
    const none = `sess_${"0".repeat(32)}`;
    const missing = await errorOf(await send(`/v1/sessions/${none}`, as("small-key")));
    expect({ ...others, message: others.message.replace(id, none) }).toEqual(missing);
  });
});

describe("a list that cannot be read locks the door, and its log says why without a key", () => {
  const one = { name: "a", sha256: "0".repeat(64), scopes: ["infer"] };
  const rows: [list: unknown, why: RegExp][] = [
    ["[{", /begins like JSON and is none/],
    ['{"name":"a"}', /a list of keys/],
    [[{ ...one, sha256: "secret" }], /API_KEYS\[0\]\.sha256 is .*64 hexadecimal digits/],
    [[{ ...one, scopes: ["root"] }], /API_KEYS\[0\]\.scopes\[0\] is "root"/],
    [[{ ...one, scopes: [] }], /at least one scope/],
    [[{ ...one, name: "a key" }], /API_KEYS\[0\]\.name/],
    [[{ ...one, requests_per_minute: 0 }], /requests_per_minute is 0/],
    [[{ ...one, origin: PAGE }], /unknown field "API_KEYS\[0\]\.origin"/],
    [[{ ...one, origins: [`${PAGE}/`] }], /origins\[0\] .* an origin such as/],
    [[{ ...one, publishable: true }], /has no origins/],
    [[{ ...one, publishable: true, origins: [PAGE], scopes: ["admin"] }], /has the scope admin/],
    [[one, { ...one, name: "b" }], /API_KEYS\[1\] has the digest of another key/],
    [[one, { ...one, sha256: "1".repeat(64) }], /API_KEYS\[1\] has the name of another key/],
  ];
  test.each(rows)("%j", async (list, why) => {
    const API_KEYS = typeof list === "string" ? list : JSON.stringify(list);
    await expect(parseKeys(API_KEYS)).rejects.toThrow(why);
    const lines: string[] = [];
    const log = console.error;
    console.error = (line: string) => lines.push(line);
    try {
      const { send } = separate({ API_KEYS });
      for (const path of ["/v1/models", "/metrics"]) {
        const error = await errorOf(await send(path, as("key")));
        expect(error).toMatchObject({ status: 500, type: "server_error", code: "configuration_error" });
      }
    } finally {
      console.error = log;
    }
    expect(JSON.parse(lines[0]!).detail).toMatch(why);
  });

  test("an empty list is no list", async () => {
    expect(await parseKeys("")).toEqual([]);
    expect(await parseKeys("[]")).toEqual([]);
    expect((await separate({ API_KEYS: "[]" }).send("http://mamba.example.com/v1/models")).status).toBe(401);
  });
});
