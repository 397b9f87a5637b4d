import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { IndexEntry } from "../../worker/edge/models/index-file.ts";
import { call, errorOf } from "./support/client.ts";
import { intercept, separate } from "./support/separate.ts";

const messages = [{ role: "user", content: "a" }];
const query = [[1, 2, 3, 4, 5]];
/** Bytes that are looked at after the model is found. */
const picture = new Uint8Array(8);

/** What an endpoint is asked of a model. */
const ASK = {
  "/v1/completions": (model: string) => call("POST", "/v1/completions", { model, prompt: "a", max_tokens: 1 }),
  "/v1/chat/completions": (model: string) => call("POST", "/v1/chat/completions", { model, messages, max_tokens: 1 }),
  "/v1/responses": (model: string) => call("POST", "/v1/responses", { model, input: "a", store: false }),
  "/v1/sessions": (model: string) => call("POST", "/v1/sessions", { model }),
  "/v1/icl/predictions": (model: string) => call("POST", "/v1/icl/predictions", { model, query }),
  "/v1/images/classifications": (model: string) => call("POST", `/v1/images/classifications?model=${model}`, picture),
} as const;
type Endpoint = keyof typeof ASK;
const TEXT: Endpoint[] = ["/v1/completions", "/v1/chat/completions", "/v1/responses"];

const names = (message: string): string[] => [...message.matchAll(/([\w-]+)@[0-9a-f]{12}/g)].map(([, name]) => name!);

describe("a model that is not served is told those that can do what was asked", () => {
  test.each(TEXT)("%s", async (endpoint) => {
    const { status, code, message } = await errorOf(await ASK[endpoint]("gpt-4o"));
    expect([status, code]).toEqual([404, "model_not_found"]);
    expect(message).toMatch(/^model "gpt-4o" is not served here: use one of tiny@/);
    expect(names(message)).toEqual(expect.arrayContaining(["tiny", "tiny-q8", "other", "slow", "chat"]));
    expect(names(message).filter((name) => /^(icl|vmamba)/.test(name))).toEqual([]);
  });

  test.each([
    ["/v1/icl/predictions", ["icl-mamba", "icl-mambaformer", "icl-short", "icl-long"]],
    ["/v1/images/classifications", ["vmamba"]],
  ] as const)("%s", async (endpoint, able) => {
    const { status, message } = await errorOf(await ASK[endpoint]("gpt-4o"));
    expect(status).toBe(404);
    expect(names(message).toSorted()).toEqual(able.toSorted());
  });

  test("/v1/sessions are of text or of examples; GET /v1/models/gpt-4o lists all", async () => {
    const ofSessions = names((await errorOf(await ASK["/v1/sessions"]("gpt-4o"))).message);
    expect(ofSessions).toEqual(expect.arrayContaining(["tiny", "icl-mamba"]));
    expect(ofSessions).not.toContain("vmamba");
    const all = names((await errorOf(await call("GET", "/v1/models/gpt-4o"))).message);
    expect(all).toEqual(expect.arrayContaining(["tiny", "icl-mamba", "icl-vectors", "vmamba"]));
  });
});

describe("a model of another kind is a 400 that says where it is asked, and what to use here", () => {
  const text = "; here use one of tiny@";
  test.each<[Endpoint, string, string]>([
    ...TEXT.flatMap((endpoint): [Endpoint, string, string][] => [
      [
        endpoint,
        "icl-mamba",
        `learns from examples and writes no text: ask it through POST /v1/icl/predictions${text}`,
      ],
      [endpoint, "icl-vectors", `writes no text: ask it through POST /v2/models/icl-vectors/infer${text}`],
      [endpoint, "vmamba", `tells what is in images: ask it through POST /v1/images/classifications${text}`],
    ]),
    ["/v1/sessions", "vmamba", `ask it through POST /v1/images/classifications${text}`],
    ["/v1/icl/predictions", "vmamba", "POST /v1/images/classifications; here use one of icl-mamba@"],
    ["/v1/icl/predictions", "tiny", "POST /v1/chat/completions or POST /v1/completions; here use one of icl-mamba@"],
    ["/v1/icl/predictions", "icl-vectors", "was trained without interleaving"],
    ["/v1/images/classifications", "icl-mamba", "POST /v1/icl/predictions; here use vmamba@"],
  ])("%s of %s", async (endpoint, model, message) => {
    const error = await errorOf(await ASK[endpoint](model));
    expect(error).toMatchObject({ status: 400, code: "invalid_value", param: "model" });
    expect(error.message).toMatch(new RegExp(`^${model}@`));
    expect(error.message).toContain(message);
  });
});

test("a language model without a tokenizer is a 400 that says where it takes token ids", async () => {
  const index: IndexEntry[] = await (await env.ASSETS.fetch("https://assets.local/weights/index.json")).json();
  const [tiny, other] = ["tiny", "other"].map((name) => index.find((entry) => entry.name === name)!);
  const serving = (...entries: readonly unknown[]) =>
    separate({ ASSETS: intercept((file, fetch) => (file === "index.json" ? Response.json(entries) : fetch())) });
  const mute = { ...tiny, tokenizer: false };
  const why = `${tiny!.id} has no tokenizer, so it takes and writes no text: give it token ids through POST /v2/models/tiny/infer`;
  const body = { model: "tiny", prompt: "a" };
  const beside = await errorOf(await serving(mute, other).post(body));
  expect(beside).toMatchObject({ status: 400, param: "model", message: `${why}; here use ${other!.id}` });
  expect((await errorOf(await serving(mute).post(body))).message).toBe(why);
});
