import { beforeAll, describe, expect, test } from "vitest";
import { call, errorOf } from "./support/client.ts";
import { namedKeys } from "./support/keys.ts";
import { separate } from "./support/separate.ts";

const PAGE = "https://page.example.com";
/** What everybody may read: it tells nothing of anybody's requests. */
const OPEN = new Set(["/", "/healthz", "/docs", "/openapi.json", "/v2", "/v2/health/live", "/v2/health/ready"]);
const BODIES: Record<string, object> = {
  "/v1/completions": { prompt: "a", max_tokens: 1 },
  "/v1/chat/completions": { messages: [{ role: "user", content: "a" }], max_tokens: 1 },
};

interface Operation {
  readonly method: string;
  readonly path: string;
}

let operations: Operation[];
let send: ReturnType<typeof separate>["send"];
beforeAll(async () => {
  const { paths } = await (await call("GET", "/openapi.json")).json<{ paths: Record<string, object> }>();
  operations = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => ({ method: method.toUpperCase(), path })),
  );
  const API_KEYS = await namedKeys(
    { key: "app-key", name: "app", scopes: ["infer"] },
    { key: "other-key", name: "other", scopes: ["infer"] },
    { key: "ops-key", name: "ops", scopes: ["admin"] },
    {
      key: "page-key",
      name: "page",
      scopes: ["infer"],
      publishable: true,
      origins: [PAGE],
      requests_per_minute: 1000,
    },
  );
  ({ send } = separate({ API_KEYS }));
});

function ask({ method, path }: Operation, headers: Record<string, string>, id = "x"): Promise<Response> {
  const body = method === "GET" || method === "DELETE" ? undefined : JSON.stringify(BODIES[path] ?? {});
  const init = { method, headers, ...(body !== undefined && { body }) };
  return send(path.replace(/\{\w+\}/g, id), init);
}

async function refusal(response: Response): Promise<{ status: number; text: string }> {
  return { status: response.status, text: await response.text() };
}

describe("every endpoint of openapi.json", () => {
  test("is guarded, but for those that everybody may read", async () => {
    const guarded = operations.filter(({ path }) => !OPEN.has(path));
    expect(guarded.length).toBeGreaterThan(12);
    for (const operation of operations) {
      const what = `${operation.method} ${operation.path}`;
      const none = await refusal(await ask(operation, {}));
      const wrong = await refusal(await ask(operation, { authorization: "Bearer app-key2" }));
      if (OPEN.has(operation.path)) {
        expect([none.status, wrong.status], what).toEqual([200, 200]);
        continue;
      }
      expect([none.status, wrong.status], what).toEqual([401, 401]);
      expect(none.text + wrong.text, what).not.toMatch(/cached_tokens|"model"|tiny/);
    }
  });

  test("needs the scope it is for, and of a publishable key the page it is for", async () => {
    for (const operation of operations.filter(({ path }) => !OPEN.has(path))) {
      const admin = operation.path === "/metrics";
      const scope = await refusal(await ask(operation, { authorization: `Bearer ${admin ? "app" : "ops"}-key` }));
      const page = await refusal(
        await ask(operation, { authorization: "Bearer page-key", origin: "https://evil.example" }),
      );
      const what = `${operation.method} ${operation.path}`;
      expect([scope.status, page.status], what).toEqual([403, 403]);
      expect(scope.text + page.text, what).not.toMatch(/cached_tokens|tiny/);
    }
  });

  test("lists nothing to a publishable key, whose visitors do not know each other", async () => {
    const response = await send("/v1/sessions", { headers: { authorization: "Bearer page-key", origin: PAGE } });
    expect(await errorOf(response)).toMatchObject({ status: 403, code: "insufficient_scope" });
  });

  test("answers to another key's id as to one that was never given", async () => {
    const mine = { authorization: "Bearer app-key" };
    const make = async (path: string, body: object): Promise<string> => {
      const response = await send(path, { method: "POST", headers: mine, body: JSON.stringify(body) });
      return (await response.json<{ id: string }>()).id;
    };
    const session = await make("/v1/sessions", {});
    await make(`/v1/sessions/${session}/append`, { text: "a secret of mine", max_tokens: 1 });
    const response = await make("/v1/responses", { input: "a secret of mine", max_output_tokens: 1 });
    for (const [collection, id] of [
      ["/v1/sessions/{", session],
      ["/v1/responses/{", response],
    ] as const) {
      const never = `${id.slice(0, 5)}${"0".repeat(id.length - 5)}`;
      const about = operations.filter(({ path }) => path.startsWith(collection));
      expect(about.length, collection).toBeGreaterThan(2);
      for (const operation of about) {
        for (const headers of [
          { authorization: "Bearer other-key" },
          { authorization: "Bearer page-key", origin: PAGE },
        ]) {
          const theirs = await refusal(await ask(operation, headers, id));
          const none = await refusal(await ask(operation, headers, never));
          expect({ ...theirs, text: theirs.text.replaceAll(id, never) }, operation.path).toEqual(none);
          expect(theirs.status, operation.path).toBeGreaterThanOrEqual(400);
        }
      }
      const still = collection.replace("{", id);
      expect((await send(still, { headers: mine })).status).toBe(200);
    }
    const previous = JSON.stringify({ input: "a", previous_response_id: response, max_output_tokens: 1 });
    const headers = { authorization: "Bearer other-key" };
    const others = await send("/v1/responses", { method: "POST", headers, body: previous });
    expect(others.status).toBeGreaterThanOrEqual(400);
    expect(await others.text()).not.toMatch(/cached_tokens|secret/);
  });
});
