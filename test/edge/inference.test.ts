import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { version } from "../../package.json";
import { type Env, limitsOf } from "../../worker/edge/env.ts";
import { isolate } from "../../worker/edge/isolate.ts";
import { packageSource } from "../../worker/edge/models/package-source.ts";
import type { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { call } from "./support/client.ts";
import { separate } from "./support/separate.ts";

interface Reply {
  readonly model_name: string;
  readonly model_version: string;
  readonly id?: string;
  readonly outputs: { name: string; datatype: string; shape: number[]; data: number[] }[];
}

const tokens = [7, 0, 256, 31, 31, 104];
const targets = [0, 256, 31, 31, 104, 9];
const input = (data: unknown, fields: Record<string, unknown> = {}) => ({
  name: "tokens",
  datatype: "INT32",
  shape: [(data as []).length],
  data,
  ...fields,
});
const infer = (body: unknown, model = "tiny"): Promise<Response> => call("POST", `/v2/models/${model}/infer`, body);
async function inferred(body: unknown): Promise<Reply> {
  const response = await infer(body);
  expect(response.status).toBe(200);
  return response.json<Reply>();
}

describe("server and models", () => {
  test.each([
    ["/v2", { name: "mamba-edge", version, extensions: [] }],
    ["/v2/health/live", { live: true }],
    ["/v2/health/ready", { ready: true }],
    ["/v2/models/tiny/ready", { name: "tiny", ready: true }],
  ])("GET %s", async (path, body) => {
    const response = await call("GET", path);
    expect([response.status, await response.json()]).toEqual([200, body]);
  });

  test("GET /v2/models/{name}, by name or id", async () => {
    const model = await (await call("GET", "/v2/models/tiny")).json<{ name: string; versions: string[] }>();
    expect(model).toMatchObject({ name: "tiny", versions: [expect.stringMatching(/^[0-9a-f]{12}$/)] });
    expect(await (await call("GET", `/v2/models/tiny@${model.versions[0]}`)).json()).toEqual(model);
  });

  test("…/versions/{version} is the same of that version, and nothing of another", async () => {
    const {
      versions: [version],
    } = await (await call("GET", "/v2/models/tiny")).json<{ versions: [string] }>();
    const under = (name: string, number: string): string => `/v2/models/${name}/versions/${number}`;
    for (const part of ["", "/ready"]) {
      const [one, same] = await Promise.all(
        [`/v2/models/tiny${part}`, `${under("tiny", version)}${part}`].map((path) => call("GET", path)),
      );
      expect([same!.status, await same!.json()]).toEqual([200, await one!.json()]);
    }
    const body = { inputs: [input(tokens)] };
    const reply = await (await call("POST", `${under("tiny", version)}/infer`, body)).json<Reply>();
    expect(reply).toEqual(await (await infer(body)).json());
    expect(reply.model_version).toBe(version);
    for (const wrong of [under("tiny", "0".repeat(12)), under("other", version), under(`tiny@${version}`, version)]) {
      for (const response of [await call("GET", wrong), await call("POST", `${wrong}/infer`, body)]) {
        expect([response.status, await response.json()]).toEqual([404, { error: expect.any(String) }]);
      }
    }
  });

  test("probes need no key, models do", async () => {
    const { get } = separate({ API_KEYS: "key" });
    for (const path of ["/v2", "/v2/health/live", "/v2/health/ready"]) expect((await get(path)).status).toBe(200);
    for (const path of ["/v2/models/tiny", "/v2/models/tiny/ready"]) {
      const response = await get(path);
      expect([response.status, await response.json()]).toEqual([401, { error: expect.stringMatching(/no API key/) }]);
    }
  });

  test("without models it is not ready", async () => {
    const ASSETS = { fetch: async () => new Response(null, { status: 404 }) } as unknown as Fetcher;
    const { WEIGHTS: _, ...rest } = env;
    const { get } = separate({ ...rest, ASSETS, WEIGHTS: { get: async () => null } as unknown as R2Bucket });
    expect((await get("/v2/health/ready")).status).toBe(503);
  });
});

describe("POST /v2/models/{name}/infer", () => {
  /** What the engine computes of the same tokens, and nothing in front of them. */
  let last: number[];
  let all: number[];
  let logProbs: number[];
  beforeAll(async () => {
    const entry = await isolate.catalog.find(env, "tiny");
    const { signal } = new AbortController();
    const lease = await isolate.pool.lease(entry.id, packageSource(env, entry), {
      limits: limitsOf(env as Env),
      signal,
    });
    try {
      while (!lease.model.ready) await lease.more();
      [last, logProbs] = await fed(lease.model, tokens, targets);
      all = [];
      for (let n = 1; n <= tokens.length; n++) all.push(...(await fed(lease.model, tokens.slice(0, n)))[0]);
    } finally {
      lease.release();
    }
  });

  async function fed(model: Model, ids: number[], wanted?: number[]): Promise<[number[], number[]]> {
    const sequence = new Sequence(model);
    const out = await sequence.feed(ids, { logits: true, ...(wanted && { targets: wanted }) });
    sequence.dispose();
    return [[...out.logits], [...out.logProbs]];
  }

  test("gives the logits after the last token, exactly as the engine has them", async () => {
    const forms = [
      input(tokens),
      input(tokens, { shape: [1, 6], datatype: "INT64" }),
      input([tokens], { shape: [1, 6] }),
    ];
    for (const form of forms) {
      expect(await inferred({ id: "mine", inputs: [form] })).toEqual({
        model_name: "tiny",
        model_version: expect.stringMatching(/^[0-9a-f]{12}$/),
        id: "mine",
        outputs: [{ name: "logits", datatype: "FP32", shape: [1, 257], data: last }],
      });
    }
  });

  test("gives those of all positions", async () => {
    const { outputs } = await inferred({ inputs: [input(tokens)], parameters: { positions: "all" } });
    expect(outputs).toEqual([{ name: "logits", datatype: "FP32", shape: [1, 6, 257], data: all }]);
  });

  test("gives the log-probabilities of targets, with logits or without", async () => {
    const inputs = [input(targets, { name: "targets" }), input(tokens)];
    const wanted = { name: "log_probs", datatype: "FP32", shape: [1, 6], data: logProbs };
    expect((await inferred({ inputs })).outputs).toMatchObject([{ name: "logits", shape: [1, 257] }, wanted]);
    expect((await inferred({ inputs, outputs: [{ name: "log_probs" }] })).outputs).toEqual([wanted]);
    const both = await inferred({ inputs, parameters: { positions: "all" } });
    expect(both.outputs[1]).toEqual(wanted);
    expect(both.outputs[0]!.data).toEqual(all);
    expect((await inferred({ inputs, outputs: [{ name: "logits" }] })).outputs).toHaveLength(1);
  });

  test("is the same while a model loads, and many at a time", async () => {
    const { send } = separate({});
    const body = JSON.stringify({ inputs: [input(tokens)] });
    const ask = () => send("/v2/models/tiny/infer", { method: "POST", body });
    for (const response of await Promise.all(Array.from({ length: 5 }, ask))) {
      expect((await response.json<Reply>()).outputs[0]!.data).toEqual(last);
    }
  });

  const ok = input(tokens);
  const rows: [what: string, body: unknown, message: RegExp][] = [
    ["no JSON", "{", /not JSON/],
    ["nothing", {}, /inputs is missing/],
    ["no tensors", { inputs: [] }, /inputs is \[\]/],
    ["another tensor", { inputs: [input(tokens, { name: "image" })] }, /inputs\[0\].name is "image": .*"tokens"/],
    ["another type", { inputs: [input(tokens, { datatype: "FP32" })] }, /datatype is "FP32"/],
    ["a wrong shape", { inputs: [input(tokens, { shape: [7] })] }, /shape is \[7\], the data are 6 token ids/],
    ["a batch", { inputs: [input(tokens, { shape: [2, 3] })] }, /it must be \[6\] or \[1, 6\]/],
    [
      "a batch where the shape has none",
      { inputs: [ok, input([targets], { name: "targets", shape: [6] })] },
      /^inputs\[1\].data is nested as \[1,6\], inputs\[1\].shape is \[6\]: give the numbers flat, or nested as the shape says$/,
    ],
    [
      "two sequences",
      { inputs: [input([tokens, tokens], { shape: [2, 6] })] },
      /inputs\[0\].data is \[\[7,0.*it must be/,
    ],
    [
      "deeper lists",
      { inputs: [input([[tokens]], { shape: [1, 6] })] },
      /^inputs\[0\].data\[0\]\[0\] is \[7,0.*it must be an integer/,
    ],
    ["three dimensions", { inputs: [input(tokens, { shape: [1, 1, 6] })] }, /one sequence a request/],
    ["no tokens", { inputs: [input([])] }, /at least one token id/],
    ["no tokens in a batch", { inputs: [input([[]], { shape: [1, 0] })] }, /at least one token id/],
    ["a text", { inputs: [input(["a"])] }, /data/],
    ["half a token", { inputs: [input([1.5])] }, /data/],
    ["a token that is none", { inputs: [input([5, 257])] }, /tokens has 257: .* 0 to 256/],
    ["a target that is none", { inputs: [ok, input([1, 2, 3, 4, 5, 300], { name: "targets" })] }, /targets has 300/],
    ["too few targets", { inputs: [ok, input([1], { name: "targets" })] }, /1 targets for 6 tokens/],
    ["targets alone", { inputs: [input(tokens, { name: "targets" })] }, /no tensor "tokens"/],
    ["twice the same", { inputs: [ok, ok] }, /two tensors "tokens"/],
    ["log_probs of nothing", { inputs: [ok], outputs: [{ name: "log_probs" }] }, /give the tensor "targets"/],
    ["an unknown output", { inputs: [ok], outputs: [{ name: "state" }] }, /outputs\[0\].name is "state"/],
    ["no output", { inputs: [ok], outputs: [] }, /outputs is \[\]/],
    ["an unknown parameter", { inputs: [ok], parameters: { x: 1 } }, /unknown field "parameters.x"/],
    ["other positions", { inputs: [ok], parameters: { positions: "first" } }, /"last" or "all"/],
    ["too many tokens", { inputs: [input(Array(2049).fill(1))] }, /tokens has 2049 tokens, .* may have 2048/],
  ];
  test.each(rows)("%s is a 400 in the protocol's form", async (_, body, message) => {
    const response = await infer(body);
    expect([response.status, await response.json()]).toEqual([400, { error: expect.stringMatching(message) }]);
  });

  test("more logits than a reply may hold are a 400 with both numbers", async () => {
    const { send } = separate({ MAX_PROMPT_TOKENS: 8192 });
    const body = JSON.stringify({ inputs: [input(Array(4081).fill(1))], parameters: { positions: "all" } });
    const response = await send("/v2/models/tiny/infer", { method: "POST", body });
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: string }).error).toMatch(/1048817 numbers, .* 1048576: send 4080/);
  });

  test("an unknown model, path or method has its status in the same form", async () => {
    const rows: [string, string, number][] = [
      ["POST", "/v2/models/none/infer", 404],
      ["GET", "/v2/models/none", 404],
      ["GET", "/v2/models/none/ready", 404],
      ["GET", "/v2/nothing", 404],
      ["GET", "/v2/models/tiny/infer", 405],
      ["POST", "/v2/health/live", 405],
    ];
    for (const [method, path, status] of rows) {
      const response = await call(method, path, method === "POST" ? { inputs: [ok] } : undefined);
      expect([response.status, await response.json()], path).toEqual([status, { error: expect.any(String) }]);
    }
    expect((await infer({ inputs: [ok] }, "shard-flipped")).status).toBe(503);
  });
});
