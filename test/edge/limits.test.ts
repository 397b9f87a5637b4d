import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { ApiError } from "../../worker/edge/http/api-error.ts";
import { maxTokensWithin } from "../../worker/edge/models/request-budget.ts";
import { TokenBucket } from "../../worker/edge/ops/token-bucket.ts";
import { append, call, errorOf, newSession } from "./support/client.ts";
import { separate } from "./support/separate.ts";

describe("a token bucket", () => {
  test("lets a minute's requests through at once, then one for each part of a minute", () => {
    const bucket = new TokenBucket();
    for (let i = 0; i < 6; i++) expect(bucket.take(6, 0)).toEqual({ allowed: true, remaining: 5 - i, retryAfter: 0 });
    expect(bucket.take(6, 0)).toEqual({ allowed: false, remaining: 0, retryAfter: 10 });
    expect(bucket.take(6, 9_999)).toEqual({ allowed: false, remaining: 0, retryAfter: 1 });
    expect(bucket.take(6, 10_000).allowed).toBe(true);
    expect(bucket.take(6, 10_000).allowed).toBe(false);
    expect(bucket.take(6, 1e9)).toMatchObject({ allowed: true, remaining: 5 });
  });

  test("gives nothing back to a clock that goes back, and lets rates below one through at last", () => {
    const bucket = new TokenBucket();
    expect(bucket.take(1, 60_000).allowed).toBe(true);
    expect(bucket.take(1, 0).allowed).toBe(false);
    expect(bucket.take(1, 120_000).allowed).toBe(true);
    expect(new TokenBucket().take(0.5, 0).allowed).toBe(true);
  });
});

describe("requests a minute", () => {
  test("are unlimited unless a limit is set", async () => {
    const { send } = separate({});
    for (let i = 0; i < 30; i++) {
      const response = await send("/v1/models");
      expect([response.status, response.headers.get("x-ratelimit-limit-requests")]).toEqual([200, null]);
    }
  });

  test("beyond the limit are a 429 that says when to come back; keys have buckets of their own", async () => {
    const { send } = separate({ API_KEYS: "rate-a, rate-b", RATE_LIMIT_PER_MINUTE: 3 });
    const ask = (key: string, path = "/v1/models"): Promise<Response> =>
      send(path, { headers: { authorization: `Bearer ${key}` } });
    for (const left of ["2", "1", "0"]) {
      const { status, headers } = await ask("rate-a");
      expect([status, headers.get("x-ratelimit-remaining-requests")]).toEqual([200, left]);
    }
    for (const path of ["/v1/models", "/v1/nothing"]) {
      const response = await ask("rate-a", path);
      const after = Number(response.headers.get("retry-after"));
      expect(after).toBeGreaterThan(0);
      expect(after).toBeLessThanOrEqual(20);
      expect(response.headers.get("access-control-expose-headers")).toContain("retry-after");
      expect(await errorOf(response)).toMatchObject({
        status: 429,
        type: "rate_limit_error",
        code: "rate_limit_exceeded",
        message: expect.stringMatching(/key key-1 may send 3 requests a minute and sent more: send this one again in/),
      });
    }
    expect(((await (await ask("rate-a", "/v2/models/tiny")).json()) as { error: string }).error).toContain("a minute");
    expect((await ask("rate-b")).status).toBe(200);
    // What tells of the deployment itself stays.
    for (const path of ["/metrics", "/healthz", "/openapi.json"]) expect((await ask("rate-a", path)).status).toBe(200);
  });

  test("a wrong number is a 500 whose log says which", async () => {
    const lines: string[] = [];
    const log = console.error;
    console.error = (line: string) => lines.push(line);
    try {
      expect(await errorOf(await separate({ RATE_LIMIT_PER_MINUTE: "many" }).get("/v1/models"))).toMatchObject({
        status: 500,
      });
    } finally {
      console.error = log;
    }
    expect(lines.join()).toContain("RATE_LIMIT_PER_MINUTE");
  });
});

test("MAX_TOKENS limits the output of every request", async () => {
  const { post } = separate({ MAX_TOKENS: 5 });
  expect(await errorOf(await post({ prompt: "a", max_tokens: 6 }))).toMatchObject({ status: 400, param: "max_tokens" });
  const reply = await post({ prompt: "a", logit_bias: { 0: -100 } });
  expect(await reply.json()).toMatchObject({ usage: { completion_tokens: 5 } });
});

test("MAX_TOKENS is shared by the choices of a request", () => {
  const model = { manifest: { id: "m" }, multiplyAddsPerToken: 1, multiplyAddsPerHead: 1 } as never;
  const limits = { maxMultiplyAdds: 1e9, maxPromptTokens: 100, maxTokens: 10 };
  const within = (maxTokens: number | undefined, choices?: number): number =>
    maxTokensWithin(model, limits, { promptTokens: 5, promptParam: "prompt", maxTokens, ...(choices && { choices }) });
  expect(within(undefined)).toBe(10);
  expect(within(undefined, 4)).toBe(2);
  expect(within(2, 4)).toBe(2);
  expect(() => within(3, 4)).toThrow(/max_tokens is 3, .* 2 for each of 4 choices/);
  expect(() => within(11)).toThrow(/max_tokens is 11, .* may generate 10:/);
});

describe("a prompt that alone takes the budget, where the request says no max_tokens", async () => {
  const { post, send } = separate({ MAX_MULTIPLY_ADDS_PER_REQUEST: 5_000_000 });
  const tokens = (count: number): number[] => Array.from({ length: count }, (_, i) => 1 + i);
  const { message } = await errorOf(await post({ prompt: tokens(200) }));
  const most = Number(/may have (\d+)/.exec(message)![1]);
  const asked = { model: "tiny", logit_bias: { 0: -100 } };
  const tooMuch = {
    status: 400,
    code: "context_length_exceeded",
    message: expect.stringMatching(
      / costs \d+ multiply-adds on tiny@.*, a request may cost 5000000 \(MAX_.*: send less/,
    ),
  };

  test("is answered with no text where it takes all of it", async () => {
    const reply = await post({ ...asked, prompt: tokens(most - 1) });
    expect(await reply.json()).toMatchObject({
      choices: [{ text: "", finish_reason: "length" }],
      usage: { completion_tokens: 0 },
    });
  });

  test.each<[what: string, body: Record<string, unknown>]>([
    // `<|endoftext|>` comes before it.
    ["one", { prompt: tokens(most) }],
    ["a stream's", { prompt: tokens(most), stream: true }],
    ["several", { prompt: [tokens(most - 5), tokens(most - 5)] }],
    ["with max_tokens 0", { prompt: tokens(most), max_tokens: 0 }],
  ])("is refused where it takes more: %s", async (_, body) => {
    expect(await errorOf(await post({ ...asked, ...body }))).toMatchObject({ ...tooMuch, param: "prompt" });
  });

  test("is refused where it takes more: an append's", async () => {
    const { id } = await newSession({ model: "tiny" });
    const body = JSON.stringify({ tokens: tokens(most), logit_bias: { 0: -100 } });
    const reply = await send(`/v1/sessions/${id}/append`, { method: "POST", body });
    expect(await errorOf(reply)).toMatchObject({ ...tooMuch, param: "tokens" });
  });
});

test("what the budget leaves is said with what bounds it, and the prompt's tokens as usage counts them", async () => {
  const { post } = separate({});
  const ok = await (await post({ prompt: "Hello", max_tokens: 1 })).json<{ usage: { prompt_tokens: number } }>();
  expect(ok.usage.prompt_tokens).toBe(6);
  const message = async (response: Response): Promise<string> => (await errorOf(response)).message;
  const bound =
    /may generate \d+: all its tokens may cost 1000000000000 multiply-adds \(MAX_MULTIPLY_ADDS_PER_REQUEST\)/;
  const one = await message(await post({ prompt: "Hello", max_tokens: 1e9 }));
  expect(one).toMatch(/ with 6 prompt tokens may generate/);
  expect(one).toMatch(bound);
  expect(await message(await post({ prompt: [0], max_tokens: 1e9 }))).toMatch(/ with 1 prompt token may generate/);
  expect(await message(await post({ prompt: ["a", "bc"], max_tokens: 1e9, n: 2 }))).toMatch(
    / with 5 prompt tokens may generate \d+ for each of 4 choices:/,
  );
  const { id } = await newSession();
  const { usage } = await append(id, { text: "Hello", max_tokens: 3, logit_bias: { 0: -100 } });
  const more = await call("POST", `/v1/sessions/${id}/append`, { text: "ab", max_tokens: 1e9 });
  expect(await message(more)).toContain(` with ${usage!.total_tokens + 2} prompt tokens may generate`);
});

describe("browsers", () => {
  const CORS_ORIGINS = "https://a.example.com, https://b.example.com";

  test("of CORS_ORIGINS may read replies, others may not", async () => {
    const { send } = separate({ CORS_ORIGINS });
    for (const [origin, allowed] of [
      ["https://a.example.com", "https://a.example.com"],
      ["https://b.example.com", "https://b.example.com"],
      ["https://c.example.com", null],
    ] as const) {
      for (const method of ["GET", "OPTIONS"]) {
        const { headers } = await send("/v1/models", {
          method,
          headers: { origin, "access-control-request-method": "GET" },
        });
        expect(headers.get("access-control-allow-origin"), `${method} from ${origin}`).toBe(allowed);
        expect(headers.get("vary")?.toLowerCase()).toContain("origin");
      }
    }
  });

  test("are told to take replies for what they are", async () => {
    const replies = [
      await call("GET", "/"),
      await call("GET", "/nothing"),
      await call("POST", "/v1/completions", { prompt: "a", max_tokens: 1, stream: true }),
      await call("OPTIONS", "/v1/models", undefined, { origin: "https://a.example.com" }),
    ];
    for (const response of replies) {
      expect(response.headers.get("x-content-type-options")).toBe("nosniff");
      expect(response.headers.get("referrer-policy")).toBe("no-referrer");
      expect(response.headers.get("content-security-policy")).toBe("default-src 'none'; frame-ancestors 'none'");
      expect(response.headers.get("strict-transport-security")).toBe(null);
      await response.text();
    }
  });

  test("are told to come by https only, once they have: by the Worker and by what the CDN answers", async () => {
    const { send } = separate({ API_KEYS: "key" });
    const replies = [
      await send("https://mamba.example.com/healthz"),
      await send("https://mamba.example.com/v1/models"),
      await send("https://mamba.example.com/docs"),
      await env.ASSETS.fetch("https://mamba.example.com/weights/index.json"),
    ];
    for (const { headers, url } of replies) {
      expect(headers.get("strict-transport-security"), url).toBe("max-age=31536000");
      expect(headers.get("x-content-type-options"), url).toBe("nosniff");
      expect(headers.get("referrer-policy"), url).toBe("no-referrer");
    }
  });
});

test("more requests than there are places and patience: a 429 that says when to come back", async () => {
  const { services, post } = separate({});
  // The wait itself is tested with the pool; here only what the client sees of it.
  services.pool.lease = async () => {
    throw new ApiError({ code: "overloaded", message: "busy", headers: { "retry-after": "1" } });
  };
  const response = await post({ prompt: "a" });
  expect(response.headers.get("retry-after")).toBe("1");
  expect(await errorOf(response)).toMatchObject({ status: 429, code: "overloaded", type: "rate_limit_error" });
});

test("a body nested deeply is a 400, whatever its place", async () => {
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  const schema = `{"type":"json_schema","json_schema":{"name":"x","schema":{"enum":${deep}}}}`;
  for (const body of [
    deep,
    `{"prompt":${deep}}`,
    `{"prompt":"a","metadata":{"a":${deep}},"n":99}`,
    `{"prompt":"a","response_format":${schema}}`,
  ]) {
    const error = await errorOf(await call("POST", "/v1/completions", body));
    expect(error).toMatchObject({ status: 400, type: "invalid_request_error" });
    expect(error.message.length).toBeLessThan(300);
  }
});
