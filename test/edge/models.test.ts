import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { isolate } from "../../worker/edge/isolate.ts";
import type { IndexEntry } from "../../worker/edge/models/index-file.ts";
import { append, call, complete, errorOf, newSession, state } from "./support/client.ts";
import { intercept, separate } from "./support/separate.ts";

const prompt = "Once upon a time";
const index: IndexEntry[] = await (await env.ASSETS.fetch("https://assets.local/weights/index.json")).json();
const idOf = (name: string): string => index.find((entry) => entry.name === name)!.id;

describe("GET /v1/models", () => {
  test("lists the packages in OpenAI's shape, the default first", async () => {
    const list = await (await call("GET", "/v1/models")).json<{ object: string; data: { id: string }[] }>();
    expect(list.object).toBe("list");
    expect(list.data.map((m) => m.id)).toEqual(index.map((entry) => entry.id));
    expect(list.data[0]).toEqual({
      id: expect.stringMatching(/^tiny@[0-9a-f]{12}$/),
      object: "model",
      created: expect.any(Number),
      owned_by: "mamba-edge",
      name: "tiny",
      family: expect.stringMatching(/^mamba@/),
      architecture: "mamba",
      quantization: "f32",
      bytes: expect.any(Number),
      tokenizer: true,
      weights_url: `/weights/${list.data[0]!.id}/`,
    });
  });

  test("one is found by name, by id, and by an escaped id; another is a 404", async () => {
    const id = idOf("tiny-q8");
    for (const name of ["tiny-q8", id, encodeURIComponent(id)]) {
      expect(await (await call("GET", `/v1/models/${name}`)).json()).toMatchObject({ id, quantization: "q8" });
    }
    expect(await errorOf(await call("GET", "/v1/models/none"))).toMatchObject({ status: 404, code: "model_not_found" });
  });
});

describe("requests that name no model", async () => {
  const of = (...names: string[]): IndexEntry[] => names.map((name) => index.find((entry) => entry.name === name)!);
  /** A deployment whose index lists these, in this order. */
  const serving = (entries: readonly IndexEntry[], bindings = {}) => {
    const { send } = separate({
      ASSETS: intercept((file, fetch) => (file === "index.json" ? Response.json(entries) : fetch())),
      ...bindings,
    });
    return async (path: string, body: unknown): Promise<unknown> => {
      const response = await send(path, { method: "POST", body: JSON.stringify(body) });
      const { model, error } = await response.json<{ model?: string; error?: { code: string } }>();
      return model?.split("@")[0] ?? [response.status, error?.code];
    };
  };
  const mute = { ...of("tiny")[0]!, tokenizer: false };
  const chat = { messages: [{ role: "user", content: "a" }], max_tokens: 1 };
  const query = [[1, 2, 3, 4, 5]];

  test("get the first model of the kind that they are for", async () => {
    const ask = serving([mute, ...of("vmamba", "icl-mamba", "chat", "tiny-q8")]);
    expect(await ask("/v1/completions", { prompt, max_tokens: 1 })).toBe("chat");
    expect(await ask("/v1/chat/completions", chat)).toBe("chat");
    expect(await ask("/v1/sessions", {})).toBe("chat");
    expect(await ask("/v1/icl/predictions", { query })).toBe("icl-mamba");
  });

  test("get an older index's first language model: it does not say who has a tokenizer", async () => {
    const { tokenizer: _, ...older } = of("tiny-q8")[0]!;
    expect(await serving([...of("icl-mamba"), older, ...of("tiny")])("/v1/sessions", {})).toBe("tiny-q8");
  });

  test("get DEFAULT_MODEL where it takes what is asked", async () => {
    const entries = of("tiny", "chat", "icl-mamba", "icl-mambaformer");
    const text = serving(entries, { DEFAULT_MODEL: "chat" });
    expect(await text("/v1/completions", { prompt, max_tokens: 1 })).toBe("chat");
    expect(await text("/v1/icl/predictions", { query })).toBe("icl-mamba");
    const vectors = serving(entries, { DEFAULT_MODEL: "icl-mambaformer" });
    expect(await vectors("/v1/icl/predictions", { query })).toBe("icl-mambaformer");
    expect(await vectors("/v1/sessions", {})).toBe("icl-mambaformer");
    const none = serving(entries, { DEFAULT_MODEL: "none" });
    expect(await none("/v1/completions", { prompt })).toEqual([404, "model_not_found"]);
  });

  test("are told of a DEFAULT_MODEL that is not served, and which there are", async () => {
    const { post } = separate({ DEFAULT_MODEL: "fable-130m" });
    const { message } = await errorOf(await post({ prompt }));
    expect(message).toMatch(/^the request names no model, and DEFAULT_MODEL is "fable-130m", .* to one of .*tiny@/);
    const asked = await errorOf(await post({ prompt, model: "fable-130m" }));
    expect(asked.message).toMatch(/^model "fable-130m" is not served here: use one of .*tiny@/);
  });

  test("are told where there is no such model", async () => {
    expect(await serving(of("tiny"))("/v1/icl/predictions", { query })).toEqual([404, "model_not_found"]);
    expect(await serving(of("icl-mamba"))("/v1/sessions", {})).toBe("icl-mamba");
    expect(await serving([])("/v1/sessions", {})).toEqual([503, "no_models"]);
  });
});

describe("a package that cannot be served is a 503 that says why", () => {
  test.each([
    ["manifest-cut", "weights_corrupt", /manifest\.msgpack: 100 bytes are not MessagePack/],
    ["shard-cut", "weights_corrupt", /shard-000\.bin: truncated: got \d+ bytes, the manifest says \d+/],
    ["shard-flipped", "weights_corrupt", /shard-000\.bin: sha256 is [0-9a-f]{64}/],
    ["shard-missing", "weights_unavailable", /shard-000\.bin/],
    [
      "too-large",
      "memory_budget_exceeded",
      /needs 541\.5 MB .*the budget is 34\.7 MB: .*MAX_SEQUENCES.*MEMORY_BUDGET_MB .* 128 MB/,
    ],
  ])("%s: %s", async (model, code, message) => {
    const wanted = { status: 503, type: "server_error", code, message: expect.stringMatching(message) };
    const { id } = await newSession({ model });
    const requests: [string, unknown][] = [
      ["/v1/completions", { model, prompt, max_tokens: 4 }],
      ["/v1/completions", { model, prompt, max_tokens: 4, stream: true }],
      [`/v1/sessions/${id}/append`, { text: prompt, max_tokens: 4 }],
    ];
    // One after the other, then all together.
    for (const [path, body] of requests) expect(await errorOf(await call("POST", path, body))).toMatchObject(wanted);
    const together = await Promise.all(requests.map(async ([path, body]) => errorOf(await call("POST", path, body))));
    for (const error of together) expect(error).toMatchObject(wanted);
    expect(await errorOf(await call("GET", `/v1/sessions/${id}/state`))).toMatchObject({
      status: 404,
      code: "no_state",
    });
    // Nothing of it stays in memory, and the others are served.
    expect(isolate.pool.stats().map((s) => s.id)).not.toContain(idOf(model));
    expect((await complete({ prompt, max_tokens: 2 })).model).toBe(idOf("tiny"));
  });

  test("a shard that comes back is found by the next request", async () => {
    const id = idOf("tiny");
    let missing = true;
    const assets = intercept((file, fetch) =>
      missing && file.endsWith(".bin") ? new Response(null, { status: 404 }) : fetch(),
    );
    const { post } = separate({ ASSETS: assets });
    expect(await errorOf(await post({ prompt, max_tokens: 2 }))).toMatchObject({
      status: 503,
      code: "weights_unavailable",
    });
    missing = false;
    const reply = await post({ prompt, max_tokens: 2, seed: 1 });
    expect(await reply.json()).toMatchObject({ model: id });
  });
});

describe("packages in a bucket", () => {
  test("are listed and served beside the built-in ones, and sessions work on them", async () => {
    const entry = index.find((e) => e.name === "other")!;
    for (const file of ["manifest.msgpack", "shard-000.bin", "tokenizer.json"]) {
      const response = await env.ASSETS.fetch(`https://assets.local/weights/${entry.id}/${file}`);
      await env.WEIGHTS.put(`${entry.id}/${file}`, await response.arrayBuffer());
    }
    const none = new Response("[]");
    const assets = intercept((file, fetch) => (file === "index.json" ? none.clone() : fetch()));
    const { post, get } = separate({ ASSETS: assets });
    expect(await errorOf(await post({ model: "other", prompt }))).toMatchObject({ status: 404 });
    await env.WEIGHTS.put("index.json", JSON.stringify([entry]));
    expect(await (await post({ model: "other", prompt, max_tokens: 1 })).json()).toMatchObject({ model: entry.id });
    expect(await (await get("/v1/models")).json()).toMatchObject({ data: [{ id: entry.id, weights_url: null }] });
  });

  test("no models at all is a 503 that says what to do, with DEFAULT_MODEL and without", async () => {
    await env.WEIGHTS.delete("index.json");
    const assets = intercept((file, fetch) => (file === "index.json" ? new Response(null, { status: 404 }) : fetch()));
    for (const DEFAULT_MODEL of ["", "tiny"]) {
      const { post } = separate({ ASSETS: assets, DEFAULT_MODEL });
      expect(await errorOf(await post({ prompt }))).toMatchObject({ status: 503, code: "no_models" });
      const { status, message } = await errorOf(await post({ prompt, model: "tiny" }));
      expect([status, message]).toEqual([404, 'model "tiny" is not served here: no models are']);
    }
  });
});

test("a session on a model that is no longer served is a 404, and its state can still be read", async () => {
  const { id } = await newSession({ model: "other" });
  await append(id, { text: prompt, max_tokens: 1 });
  const kept = JSON.stringify(index.filter((e) => e.name !== "other"));
  const { send } = separate({
    ASSETS: intercept((file, fetch) => (file === "index.json" ? new Response(kept) : fetch())),
  });
  const response = await send(`/v1/sessions/${id}/append`, { method: "POST", body: '{"text":"a"}' });
  expect(await errorOf(response)).toMatchObject({ status: 404, code: "model_not_found" });
  expect((await state(id)).length).toBeGreaterThan(1000);
});

describe("/weights", () => {
  test("files are there under the package's id, and their hashes are the manifest's", async () => {
    const response = await env.ASSETS.fetch(`https://assets.local/weights/${idOf("tiny")}/shard-000.bin`);
    expect(response.status).toBe(200);
    expect((await response.arrayBuffer()).byteLength).toBe(index[0]!.bytes);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
  });
});
