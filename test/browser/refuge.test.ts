import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { Backend } from "../../kernels/backend.ts";
import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { folderSource } from "../../weights/node/folder.ts";
import type { GenerationResult } from "../../worker/browser/client/api.ts";
import { Edge } from "../../worker/browser/host/edge.ts";
import { failoverBackend } from "../../worker/browser/host/failover.ts";
import type { Chosen, HostGeneration, HostModel } from "../../worker/browser/host/host-model.ts";
import { localModel } from "../../worker/browser/host/local-model.ts";
import { modelInfo } from "../../worker/browser/host/model-info.ts";
import { Refuge } from "../../worker/browser/host/refuge.ts";
import { Model } from "../../worker/engine/model.ts";
import { mortal } from "./mortal.ts";
import { blankPage, packageUrl, site, useBrowser } from "./visit.ts";

const wasm = await createWasmBackend(await loadWasmModules());
const edge = new Edge(site.url, undefined);
const source = (name: string) =>
  folderSource(fileURLToPath(new URL(`../../dist/browser-test-models/${name}`, import.meta.url)));
const { signal } = new AbortController();

/** A model on a backend that dies after so many passes, and has nothing behind it but the edge. */
async function open(backend: Backend, name = "a-story"): Promise<{ host: HostModel; chosen: Chosen }> {
  const guarded = failoverBackend(backend, {
    fallback: async () => {
      throw new RangeError("could not allocate memory");
    },
    reload: async () => {},
    onFailover: () => {},
  });
  const model = await Model.load(source(name), guarded);
  const chosen: Chosen = { backend: "webgpu", reason: "asked for" };
  const refuge = new Refuge(edge, modelInfo(model.manifest, model.blocks), (cause) => {
    chosen.backend = "rest";
    chosen.reason = String(cause);
  });
  return { host: localModel(model, chosen, edge, refuge), chosen };
}

async function finish(generation: HostGeneration): Promise<GenerationResult & { readonly pieces: string }> {
  let pieces = "";
  let next = await generation.next();
  for (; !next.done; next = await generation.next()) pieces += next.value.text;
  return { ...next.value, pieces };
}

/** What counts, without times. */
function essence({
  text,
  pieces,
  finishReason,
  promptTokens,
  cachedTokens,
  completionTokens,
  seed,
}: Awaited<ReturnType<typeof finish>>) {
  return { text, pieces, finishReason, promptTokens, cachedTokens, completionTokens, seed };
}

// The end of the text would end it too early. Penalties look at what was generated; a text that is held back may become a stop.
const options = {
  logitBias: { 0: -100 },
  seed: 5,
  temperature: 1.2,
  frequencyPenalty: 0.8,
  repetitionPenalty: 1.1,
  stop: ["\u0000\u0000\u0000"],
};

describe("out of memory in the midst of a generation, the edge goes on from the same state with the same draws", () => {
  // 256 tokens are a checkpoint; the prompt is read in the first pass.
  test.each([
    { passes: 0, loss: "begin" },
    { passes: 1, loss: "read" },
    { passes: 30, loss: "read" },
    { passes: 290, loss: "read" },
    { passes: 2, loss: "state" },
  ] as const)("a text, after $passes passes, at $loss", async ({ passes, loss }) => {
    const whole = await finish(
      (await open(wasm)).host.generate("Once upon a time", { ...options, maxTokens: 320 }, signal),
    );
    const { host, chosen } = await open(mortal(wasm, passes, loss));
    const cut = await finish(host.generate("Once upon a time", { ...options, maxTokens: 320 }, signal));
    expect(essence(cut)).toEqual(essence(whole));
    expect(cut.text).toBe(cut.pieces);
    expect([cut.backend, chosen.backend, host.backend]).toEqual(["rest", "rest", "rest"]);
    expect(chosen.reason).toContain("could not allocate memory");
  });

  test("a session, its forks, and those at rest", async () => {
    const run = async (backend: Backend) => {
      const { host } = await open(backend);
      const [session, rest] = [await host.session(), await host.session()];
      const texts = [(await finish(rest.append("The fox", { ...options, maxTokens: 5 }, signal))).text];
      texts.push((await finish(session.append("Once", { ...options, maxTokens: 10 }, signal))).text);
      const fork = await session.fork();
      texts.push((await finish(session.append(" upon", { ...options, maxTokens: 40 }, signal))).text);
      texts.push((await finish(session.append("", { maxTokens: 10 }, signal))).text);
      texts.push((await finish(fork.append(" upon", { ...options, maxTokens: 20 }, signal))).text);
      const again = await session.fork();
      texts.push((await finish(again.append("", { maxTokens: 10 }, signal))).text);
      const bytes = await rest.save();
      texts.push((await finish(rest.append("", { maxTokens: 10 }, signal))).text);
      await fork.restore(bytes);
      texts.push((await finish(fork.append("", { maxTokens: 10 }, signal))).text);
      return { texts, tokens: [session.tokens, fork.tokens, rest.tokens], backend: host.backend };
    };
    const [whole, cut] = [await run(wasm), await run(mortal(wasm, 32, "read"))];
    expect([whole.backend, cut.backend]).toEqual(["webgpu", "rest"]);
    expect(cut.texts).toEqual(whole.texts);
    expect(cut.tokens).toEqual(whole.tokens);
    expect(whole.texts.at(-1)).toBe(whole.texts.at(-2));
  });

  test("a chat, whose reply ends where the template ends it", async () => {
    const messages = [{ role: "user", content: "Good morning" }] as const;
    for (const seed of [1, 2, 3]) {
      const chat = { ...options, seed, maxTokens: 200 };
      const whole = await finish((await open(wasm, "b-chat")).host.chat(messages, chat, signal));
      const { host } = await open(mortal(wasm, 6, "read"), "b-chat");
      const cut = await finish(host.chat(messages, chat, signal));
      expect(essence(cut)).toEqual(essence(whole));
      const next = [...messages, { role: "assistant", content: cut.text }, { role: "user", content: "Go on" }] as const;
      expect((await finish(host.chat(next, { maxTokens: 5 }, signal))).backend).toBe("rest");
    }
  });

  test.each([
    1, 12, 25,
  ])("a text in a format comes anew, given out from where it was: after %i passes", async (passes) => {
    const schema = { type: "object", properties: { name: { type: "string", minLength: 20 } }, required: ["name"] };
    const format = { type: "json_schema", json_schema: { name: "someone", schema } } as const;
    const asked = { seed: 8, temperature: 1.2, maxTokens: 60, responseFormat: format };
    const run = async (backend: () => Backend) => {
      const messages = [{ role: "user", content: "Who?" }] as const;
      const text = await finish((await open(backend())).host.generate("Once upon", asked, signal));
      const chat = await finish((await open(backend(), "b-chat")).host.chat(messages, asked, signal));
      const session = await (await open(backend())).host.session();
      const append = await finish(session.append("Once upon", asked, signal));
      const rest = await finish(session.append(" and", { ...options, maxTokens: 8 }, signal));
      return [text, chat, append, rest];
    };
    const [whole, cut] = [await run(() => wasm), await run(() => mortal(wasm, passes, "read"))];
    expect(cut.map(essence)).toEqual(whole.map(essence));
    expect(cut.map(({ backend }) => backend)).toEqual(["rest", "rest", "rest", "rest"]);
    for (const { text } of cut.slice(0, 3)) expect(JSON.parse(text).name.length).toBeGreaterThanOrEqual(20);
  });

  test("a text in a format that is stopped before the edge has come to where it was keeps what was given out", async () => {
    const { host } = await open(mortal(wasm, 25, "read"));
    const session = await host.session();
    const { stream } = edge;
    const stop = new AbortController();
    edge.stream = (...args) => {
      stop.abort();
      return stream.apply(edge, args);
    };
    const schema = { type: "string", pattern: "^[a-z ]{30,50}$" };
    const responseFormat = { type: "json_schema", json_schema: { name: "words", schema } } as const;
    try {
      const cut = await finish(session.append("Once", { seed: 8, maxTokens: 60, responseFormat }, stop.signal));
      expect(cut.pieces.length).toBeGreaterThan(5);
      expect([cut.finishReason, cut.text]).toEqual(["cancelled", cut.pieces]);
      expect(session.tokens).toBe(cut.promptTokens + cut.completionTokens);
    } finally {
      edge.stream = stream;
    }
  });

  test("a text in a format of which the edge begins another is an error", async () => {
    const { host } = await open(mortal(wasm, 12, "read"));
    const { stream } = edge;
    edge.stream = async function* other() {
      yield { choices: [{ text: "[" }], usage: { prompt_tokens: 1, completion_tokens: 1 } };
    };
    try {
      const json_schema = { name: "words", schema: { type: "string", pattern: "^[a-z ]{30,50}$" } };
      const asked = { seed: 8, maxTokens: 60, responseFormat: { type: "json_schema", json_schema } } as const;
      await expect(finish(host.generate("Once upon", asked, signal))).rejects.toThrow(/came to another one/);
    } finally {
      edge.stream = stream;
    }
  });

  test("when the edge fails too, its error is the caller's and the session is as it was", async () => {
    const { host } = await open(mortal(wasm, 12, "read"));
    const session = await host.session();
    await finish(session.append("Once", { ...options, maxTokens: 5 }, signal));
    const { tokens } = session;
    const create = edge.createSession;
    edge.createSession = () => Promise.reject(new Error("the edge is away"));
    try {
      await expect(finish(session.append("", { maxTokens: 20 }, signal))).rejects.toThrow("the edge is away");
    } finally {
      edge.createSession = create;
    }
    expect(session.tokens).toBe(tokens);
    expect((await finish(session.append("", { maxTokens: 20 }, signal))).completionTokens).toBe(20);
  });
});

const browser = useBrowser();

test("in a browser whose memory no longer grows, a session goes on at the edge; where WASM was asked for, it is an error", async () => {
  const noMoreMemory = `WebAssembly.Memory.prototype.grow = () => { throw new RangeError("no memory today"); };`;
  const page = await blankPage(browser.current, noMoreMemory);
  const seen = await page.evaluate(async (url) => {
    const run = async (backend: "auto" | "wasm") => {
      const model = await loadModel(url, { backend });
      const changes: string[] = [];
      model.onBackendChange((to, reason) => changes.push(`${to}: ${reason}`));
      const sessions = [await model.session()];
      let text = (await sessions[0]!.append("The fox", { seed: 3, maxTokens: 20 }).result).text;
      // Places for states run out.
      while (changes.length === 0) sessions.push(await sessions[0]!.fork());
      const after = await sessions[0]!.append("", { maxTokens: 20 }).result;
      text += after.text;
      await model.dispose();
      return { text, changes, backend: after.backend, cached: after.cachedTokens };
    };
    const refused = await run("wasm").catch((error: Error) => error.message);
    return { ...(await run("auto")), refused };
  }, packageUrl(site.story));
  expect(seen.refused).toMatch(/^no memory for another state/);
  expect(seen.changes).toEqual([expect.stringMatching(/^rest: this browser has no more memory .*the edge went on/)]);
  expect(seen.backend).toBe("rest");
  expect(seen.cached).toBeGreaterThan(20);
  const { host } = await open(wasm);
  const whole = await finish((await host.session()).append("The fox", { seed: 3, maxTokens: 40 }, signal));
  expect(seen.text).toBe(whole.text);
});
