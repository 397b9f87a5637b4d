import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { separate } from "./support/separate.ts";

type Values = Record<string, number>;

/** The samples by name and labels; every line must be one of Prometheus's text format. */
function parse(text: string): Values {
  expect(text.endsWith("\n")).toBe(true);
  const values: Values = {};
  for (const line of text.trimEnd().split("\n")) {
    if (/^# HELP \w+ .+|^# TYPE \w+ (counter|gauge)$/.test(line)) continue;
    const [, name, value] = /^(mamba_edge_\w+(?:\{[^{}]*\})?) (\S+)$/.exec(line) ?? [];
    expect(name, line).toBeDefined();
    expect(values, line).not.toHaveProperty(name!);
    values[name!] = Number(value);
    expect(Number.isFinite(values[name!]), line).toBe(true);
  }
  return values;
}

describe("GET /metrics", () => {
  test("counts requests, tokens, stored bytes and models", async () => {
    const { send, post, get } = separate({});
    const read = async (): Promise<Values> => {
      const response = await get("/metrics");
      expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
      return parse(await response.text());
    };
    expect(Object.keys(await read()).sort()).toEqual([
      "mamba_edge_images_total",
      "mamba_edge_snapshot_bytes_stored_total",
    ]);

    const long = { prompt: "abc", max_tokens: 5, logit_bias: { 0: -100 } };
    await (await post(long)).text();
    await (await post({ ...long, stream: true })).text();
    await (await post({ prompt: "" })).text();
    const session = await (await send("/v1/sessions", { method: "POST" })).json<{ id: string }>();
    const append = (body: unknown): Promise<Response> =>
      send(`/v1/sessions/${session.id}/append`, { method: "POST", body: JSON.stringify(body) });
    await (await append({ text: "ab", max_tokens: 0 })).text();
    await (await append({ text: "c", max_tokens: 0 })).text();
    await (await get("/v1/nothing")).text();
    await (await get("/nothing/at/all")).text();

    const values = await read();
    const request = (method: string, route: string, status: number): number | undefined =>
      values[`mamba_edge_requests_total{method="${method}",route="${route}",status="${status}"}`];
    expect(request("POST", "/v1/completions", 200)).toBe(2);
    expect(request("POST", "/v1/completions", 400)).toBe(1);
    expect(request("POST", "/v1/sessions", 201)).toBe(1);
    expect(request("POST", "/v1/sessions/:id/append", 200)).toBe(2);
    expect(request("GET", "none", 404)).toBe(2);
    expect(request("GET", "/metrics", 200)).toBe(1);
    const streams = Object.entries(values).filter(([name]) => name.includes("streams_total"));
    expect(streams).toEqual([['mamba_edge_streams_total{route="/v1/completions",ended="complete"}', 1]]);
    // <|endoftext|> is one of each prompt. The last token of the first append is fed by the second.
    const tokens = ["prompt", "generated", "reused"].map((kind) => values[`mamba_edge_tokens_total{kind="${kind}"}`]);
    expect(tokens).toEqual([4 + 4 + 3 + 4, 10, expect.any(Number)]);
    expect(tokens[2]).toBeGreaterThan(0);
    expect(values['mamba_edge_tokens_total{kind="computed"}']).toBeGreaterThan(10);
    expect(values.mamba_edge_snapshot_bytes_stored_total).toBeGreaterThan(1000);
    for (const stage of ["load", "prefill", "decode", "store"]) {
      expect(values[`mamba_edge_wall_seconds_across_io_total{stage="${stage}"}`]).toBeGreaterThanOrEqual(0);
    }
    const model = Object.keys(values).find((name) => name.startsWith("mamba_edge_model_loaded"))!;
    expect(model).toMatch(/\{model="tiny@[0-9a-f]{12}"\}/);
    expect(values[model]).toBe(1);
    expect(values[model.replace("loaded", "bytes")]).toBeGreaterThan(10_000);
    expect(values[model.replace("model_loaded", "active_sequences")]).toBe(0);
  });

  test("counts what a conversation keeps, as a session's", async () => {
    const { send, get } = separate({});
    const messages = [{ role: "user", content: "Keep this." }];
    const body = JSON.stringify({ model: "chat", messages, max_tokens: 2 });
    await (await send("/v1/chat/completions", { method: "POST", body })).text();
    await (await send("/v1/completions", { method: "POST", body: JSON.stringify({ prompt: "ab".repeat(40) }) })).text();
    const values = parse(await (await get("/metrics")).text());
    // A state of "chat" and one of "tiny", at least.
    expect(values.mamba_edge_snapshot_bytes_stored_total).toBeGreaterThan(50_000);
    expect(values['mamba_edge_wall_seconds_across_io_total{stage="store"}']).toBeGreaterThan(0);
  });

  test("says that it is of this isolate: another has counters of its own", async () => {
    const [a, b] = [separate({}), separate({})];
    await (await a.get("/v1/models")).text();
    expect(await (await a.get("/metrics")).text()).toContain('route="/v1/models"');
    const other = await (await b.get("/metrics")).text();
    expect(other).not.toContain('route="/v1/models"');
    expect(other).toMatch(/# HELP .* Of this isolate\./);
  });

  test("where no keys are set only this machine is answered", async () => {
    expect((await separate({}).get("http://mamba.example.com/metrics")).status).toBe(401);
  });
});

describe("replies", () => {
  test("say how they are found in the log, and where the time went", async () => {
    const { post, get } = separate({});
    const response = await post({ prompt: "a", max_tokens: 2 });
    expect(response.headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{24}$/);
    expect(response.headers.get("server-timing")).toMatch(/^(\w+;dur=\d+, )*total;dur=\d+$/);
    const error = await get("/nothing");
    expect(error.headers.get("x-request-id")).toMatch(/^req_/);
  });
});

describe("the log", () => {
  let lines: string[] = [];
  const { log } = console;
  beforeEach(() => {
    lines = [];
    console.log = (line: string) => lines.push(line);
  });
  afterEach(() => {
    console.log = log;
  });

  test("has one line a request, with numbers and nothing of the content", async () => {
    const { send } = separate({ API_KEYS: "the-secret-key", LOG_LEVEL: "info" });
    const headers = { authorization: "Bearer the-secret-key" };
    const prompt = "a prompt that nobody else may read";
    for (const stream of [false, true]) {
      lines = [];
      const body = JSON.stringify({ prompt, max_tokens: 4, stream, logit_bias: { 0: -100 } });
      const response = await send("/v1/completions", { method: "POST", headers, body });
      await response.text();
      expect(lines).toHaveLength(1);
      expect(JSON.parse(lines[0]!)).toEqual({
        level: "info",
        kind: "request",
        id: response.headers.get("x-request-id"),
        method: "POST",
        route: "/v1/completions",
        status: 200,
        ...(stream && { stream: "complete" }),
        key: "key-1",
        model: expect.stringMatching(/^tiny@/),
        prompt_tokens: prompt.length + 1,
        generated_tokens: 4,
        reused_tokens: 0,
        computed_tokens: expect.any(Number),
        snapshot_bytes: 0,
        load_ms: expect.any(Number),
        prefill_ms: expect.any(Number),
        decode_ms: expect.any(Number),
        store_ms: 0,
        ms: expect.any(Number),
      });
      expect(lines[0]).not.toMatch(/secret|nobody/);
    }
  });

  test("has a line of what was refused, too", async () => {
    const { get } = separate({ API_KEYS: "key", LOG_LEVEL: "info" });
    await (await get("/v1/sessions/sess_of-somebody")).text();
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ route: "/v1/sessions/:id", status: 401 }]);
    expect(lines[0]).not.toContain("somebody");
  });

  test("is silent at LOG_LEVEL error", async () => {
    await (await separate({ LOG_LEVEL: "error" }).post({ prompt: "a", max_tokens: 1 })).text();
    expect(lines).toEqual([]);
  });
});
