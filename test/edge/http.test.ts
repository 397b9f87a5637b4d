import { describe, expect, test } from "vitest";
import { version } from "../../package.json";
import { call, complete, errorOf } from "./support/client.ts";
import { separate } from "./support/separate.ts";

describe("without a key", () => {
  test("GET / says what there is", async () => {
    const index = await (await call("GET", "/")).json<{ endpoints: string[] }>();
    expect(index).toEqual({ name: "mamba-edge", version, endpoints: expect.any(Array) });
    expect(index.endpoints).toContain("POST /v1/completions");
    expect(index.endpoints).toContain("PUT /v1/sessions/{id}/state");
  });

  test("GET /healthz says that the Worker runs", async () => {
    const response = await call("GET", "/healthz");
    expect([response.status, await response.json()]).toEqual([200, { status: "ok" }]);
  });

  test("GET /openapi.json describes every endpoint, and each of its references is there", async () => {
    const text = await (await call("GET", "/openapi.json")).text();
    const document = JSON.parse(text);
    expect(document.openapi).toBe("3.1.0");
    const { endpoints } = await (await call("GET", "/")).json<{ endpoints: string[] }>();
    const described = Object.entries<object>(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(described.sort()).toEqual(endpoints.sort());
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      expect(document.components.schemas).toHaveProperty(name!);
    }
    const request = document.components.schemas.CompletionRequest;
    expect(request.required).toEqual(["prompt"]);
    expect(request.additionalProperties).toBe(false);
    expect(Object.keys(request.properties)).toEqual(
      expect.arrayContaining(["prompt", "max_tokens", "user", "service_tier"]),
    );
  });
});

test("/openapi.json says of every field of a request what it is", async () => {
  interface Schema {
    readonly $ref?: string;
    readonly anyOf?: readonly Schema[];
    readonly properties?: Readonly<Record<string, { readonly description?: string }>>;
  }
  interface Operation {
    readonly parameters?: readonly { readonly in: string; readonly name: string; readonly description?: string }[];
    readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  }
  const { paths, components } = await (await call("GET", "/openapi.json")).json<{
    paths: Record<string, Record<string, Operation>>;
    components: { schemas: Record<string, Schema> };
  }>();
  const named = (schema: Schema): Schema => components.schemas[schema.$ref?.split("/").at(-1) ?? ""] ?? schema;
  const fields = Object.entries(paths).flatMap(([path, item]) =>
    Object.values(item).flatMap(({ parameters = [], requestBody }) => {
      const bodies = Object.values(requestBody?.content ?? {}).flatMap(({ schema }) => schema.anyOf ?? [schema]);
      return [
        ...parameters
          .filter((each) => each.in === "query")
          .map((each): [string, unknown] => [each.name, each.description]),
        ...bodies.flatMap((body) =>
          Object.entries(named(body).properties ?? {}).map(([n, f]): [string, unknown] => [n, f.description]),
        ),
      ].map(([name, description]) => [`${path} ${name}`, description] as const);
    }),
  );
  expect(fields.length).toBeGreaterThan(100);
  expect(fields.filter(([, description]) => !description).map(([name]) => name)).toEqual([]);
});

describe("keys", () => {
  const keys = { API_KEYS: "first-key, second-key" };
  const list = "/v1/models";
  const as = (key: string): RequestInit => ({ headers: { authorization: `Bearer ${key}` } });

  test("one of them is needed, anything else is a 401", async () => {
    const { send } = separate(keys);
    for (const key of ["first-key", "second-key"]) expect((await send(list, as(key))).status).toBe(200);
    for (const init of [
      {},
      as("third-key"),
      as("first-key,"),
      as("first-key, second-key"),
      { headers: { authorization: "first-key" } },
    ]) {
      const response = await send(list, init);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      const error = await errorOf(response);
      expect(error).toMatchObject({ status: 401, type: "authentication_error", code: "invalid_api_key" });
      expect(error.message).not.toContain("key,");
      expect(error.message).toMatch(/`npx wrangler secret put API_KEYS` .* API_KEYS=YOUR_KEY in \.dev\.vars/);
    }
    const message = async (init: RequestInit): Promise<string> => (await errorOf(await send(list, init))).message;
    expect(await message({})).toMatch(/^no API key was sent: send .* as authorization: Bearer YOUR_KEY\./);
    expect(await message({ headers: { authorization: "first-key" } })).toMatch(
      /^the authorization header is not Bearer and one key: send .* as authorization: Bearer YOUR_KEY\./,
    );
    expect(await message(as("third-key"))).toMatch(/^the API key that was sent is none of this deployment's: check it/);
    expect((await send("/healthz")).status).toBe(200);
  });

  test("where none are set only this machine is answered, and others hear what to run", async () => {
    for (const variables of [{}, { API_KEYS: "" }, { API_KEYS: " , " }]) {
      const { send } = separate(variables);
      for (const host of ["localhost", "127.0.0.1:8787", "[::1]:8787"])
        expect((await send(`http://${host}${list}`)).status).toBe(200);
      for (const host of ["mamba.example.com", "localhost.example.com", "10.0.0.1"]) {
        const { status, message } = await errorOf(await send(`http://${host}${list}`));
        expect(status).toBe(401);
        expect(message).toContain(`only requests to localhost are answered, and this one was to ${host}: `);
        expect(message).toMatch(/`npx wrangler secret put API_KEYS` .* \.dev\.vars .*authorization: Bearer YOUR_KEY/);
      }
    }
  });

  test("a session belongs to the key that made it", async () => {
    const { send } = separate(keys);
    const made = await send("/v1/sessions", { method: "POST", ...as("first-key") });
    const { id } = await made.json<{ id: string }>();
    const body = JSON.stringify({ text: "a", max_tokens: 1 });
    const requests: [string, string, string?][] = [
      ["GET", ""],
      ["POST", "/append", body],
      ["POST", "/fork"],
      ["GET", "/state"],
      ["PUT", "/state", "x"],
      ["DELETE", ""],
    ];
    for (const [method, path, sent] of requests) {
      const init = { method, ...as("second-key"), ...(sent !== undefined && { body: sent }) };
      expect(await errorOf(await send(`/v1/sessions/${id}${path}`, init)), path).toMatchObject({
        status: 404,
        code: "session_not_found",
      });
    }
    for (const [method, path, sent] of requests.filter(([m]) => m !== "PUT")) {
      const init = { method, ...as("first-key"), ...(sent !== undefined && { body: sent }) };
      expect((await send(`/v1/sessions/${id}${path}`, init)).ok, path).toBe(true);
    }
  });
});

describe("browsers", () => {
  const origin = "https://example.com";

  test("may ask before they send, without a key", async () => {
    const { send } = separate({ API_KEYS: "key" });
    const asked = {
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type,x-stainless-os",
    };
    const response = await send("/v1/completions", { method: "OPTIONS", headers: { origin, ...asked } });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-allow-methods")).toContain("POST");
    expect(response.headers.get("access-control-allow-headers")).toContain("x-stainless-os");
  });

  test("may read replies, streams and errors", async () => {
    const bodies = [{ prompt: "a", max_tokens: 1 }, { prompt: "a", max_tokens: 1, stream: true }, { prompt: "" }, "{"];
    for (const body of bodies) {
      const response = await call("POST", "/v1/completions", body, { origin });
      expect(response.headers.get("access-control-allow-origin"), JSON.stringify(body)).toBe("*");
      await response.text();
    }
    expect((await call("GET", "/nothing", undefined, { origin })).headers.get("access-control-allow-origin")).toBe("*");
  });
});

test("the body is read as JSON whatever its content-type says", async () => {
  const body = JSON.stringify({ prompt: "a", max_tokens: 2, seed: 1 });
  const { choices } = await complete(JSON.parse(body));
  for (const type of ["application/json", "text/plain", "application/x-www-form-urlencoded"]) {
    const response = await call("POST", "/v1/completions", body, { "content-type": type });
    expect(await response.json()).toMatchObject({ choices });
  }
});

test("a body that breaks off is a 400, and not in the log as a failure", async () => {
  const lines: unknown[] = [];
  const { error } = console;
  console.error = (line: unknown) => lines.push(line);
  try {
    const parts = [new TextEncoder().encode('{"prompt":')];
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const part = parts.shift();
        if (part === undefined) controller.error(new Error("Network connection lost."));
        else controller.enqueue(part);
      },
    });
    expect(await errorOf(await separate({}).send("/v1/completions", { method: "POST", body }))).toMatchObject({
      status: 400,
      code: "invalid_body",
      message: "the body broke off after 10 bytes (Network connection lost.): send the request again",
    });
  } finally {
    console.error = error;
  }
  expect(lines).toEqual([]);
});

test("a variable that is no number is a 500 whose log says which", async () => {
  const lines: string[] = [];
  const log = console.error;
  console.error = (line: string) => lines.push(line);
  try {
    const { post } = separate({ MEMORY_BUDGET_MB: "lots" });
    expect(await errorOf(await post({ prompt: "a" }))).toMatchObject({ status: 500, code: "internal_error" });
    expect(lines.join()).toContain("MEMORY_BUDGET_MB");
  } finally {
    console.error = log;
  }
});
