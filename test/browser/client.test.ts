import { describe, expect, test } from "vitest";
import { wasmModel } from "./node-model.ts";
import { blankPage, packageUrl, site, useBrowser } from "./visit.ts";

const browser = useBrowser();

test("a page loads a model, streams text, and it is the text that Node makes", async () => {
  const page = await blankPage(browser.current);
  const seen = await page.evaluate(async (url) => {
    const stages = new Set<string>();
    let last = { loaded: 0, total: 1 };
    const model = await loadModel(url, {
      backend: "wasm",
      onProgress: (progress) => {
        stages.add(progress.stage);
        last = progress;
      },
    });
    const pieces: string[] = [];
    const generation = model.generate("Once upon a time", { seed: 11, maxTokens: 40 });
    for await (const { text } of generation) pieces.push(text);
    const result = await generation.result;
    await model.dispose();
    const { backend, reason, info } = model;
    return { pieces, result, backend, reason, info, stages: [...stages], last };
  }, packageUrl(site.story));
  const node = await wasmModel("a-story");
  expect(seen.result.text).toBe(await node.generate("Once upon a time", 11, 40));
  expect(seen.pieces.join("")).toBe(seen.result.text);
  expect(seen.pieces.length).toBeGreaterThan(5);
  expect(seen.result).toMatchObject({ finishReason: "length", completionTokens: 40, seed: 11, backend: "wasm" });
  expect(seen.backend).toBe("wasm");
  expect(seen.reason).toBe("asked for");
  expect(seen.info.id).toBe(site.story);
  expect(seen.stages).toEqual(["download", "prepare"]);
  expect(seen.last.loaded).toBe(seen.last.total);
});

describe("a session", () => {
  test("is appended to, stopped, forked, saved and restored, with the text of one that was never cut", async () => {
    const page = await blankPage(browser.current);
    const seen = await page.evaluate(async (url) => {
      const model = await loadModel(url, { backend: "wasm" });
      const session = await model.session();
      // The end of the text would end it too early.
      const logitBias = { 0: -100 };
      let seenText = "";
      // Stopped by the signal after some tokens, gone on with elsewhere.
      const stop = new AbortController();
      const cut = session.append("Once upon", { seed: 5, maxTokens: 4000, signal: stop.signal, logitBias });
      for await (const piece of cut) {
        seenText += piece.text;
        if (seenText.length > 10) stop.abort();
      }
      const first = await cut.result;
      const saved = await session.save();
      const fork = await session.fork();
      const rest = 40;
      const ends = [];
      const restored = await model.session();
      await restored.restore(saved);
      for (const each of [session, fork, restored])
        ends.push((await each.append("", { maxTokens: rest, logitBias }).result).text);
      const whole = (
        await (
          await model.session()
        ).append("Once upon", { seed: 5, maxTokens: first.completionTokens + rest, logitBias }).result
      ).text;
      const lengths = [session.tokens, fork.tokens, restored.tokens];
      const altered = saved.slice();
      altered[200]! ^= 1;
      const refused = await restored.restore(altered).catch((error: Error) => `${error.name}: ${error.message}`);
      // A break leaves the loop and ends the generation.
      for await (const _ of session.append("", { maxTokens: 4000, logitBias })) break;
      const busy = session.append("", { maxTokens: 50, logitBias });
      const twice = await session.save().catch((error: Error) => error.name);
      await busy.result;
      await model.dispose();
      const gone = await session.save().catch((error: Error) => error.name);
      return { first, texts: ends.map((end) => first.text + end), whole, lengths, refused, twice, gone };
    }, packageUrl(site.story));
    expect(seen.first.finishReason).toBe("cancelled");
    expect(seen.first.completionTokens).toBeLessThan(2000);
    expect(seen.texts).toEqual([seen.whole, seen.whole, seen.whole]);
    expect(new Set(seen.lengths).size).toBe(1);
    expect(seen.refused).toMatch(/^SnapshotError: .*sha256/);
    expect([seen.twice, seen.gone]).toEqual(["SessionBusyError", "DisposedError"]);
  });

  test("goes to the edge and back, by state or by computing there, with one text", async () => {
    const page = await blankPage(browser.current);
    const seen = await page.evaluate(async (url) => {
      const local = await loadModel(url, { backend: "wasm" });
      const remote = await loadModel(url, { backend: "rest" });
      const whole = (await (await local.session()).append("The fox", { seed: 3, maxTokens: 60 }).result).text;
      const here = await local.session();
      let text = (await here.append("The fox", { seed: 3, maxTokens: 20 }).result).text;
      const id = await here.push();
      const there = await remote.session();
      await there.pull(id);
      const atEdge = await there.append("", { maxTokens: 20 }).result;
      text += atEdge.text;
      await here.pull(await there.push());
      const back = await here.append("", { maxTokens: 20 }).result;
      text += back.text;
      const unknown = await here.pull("sess_00").catch((error: Error) => `${error.name}: ${error.message}`);
      const counts = [here.tokens, there.tokens, atEdge.cachedTokens, back.cachedTokens];
      await Promise.all([local.dispose(), remote.dispose()]);
      return { whole, text, id, counts, backend: remote.backend, unknown };
    }, packageUrl(site.story));
    expect(seen.text).toBe(seen.whole);
    expect(seen.id).toMatch(/^sess_/);
    expect(seen.backend).toBe("rest");
    expect(seen.counts[0]).toBe(seen.counts[1]! + 20);
    expect(seen.counts[2]).toBeGreaterThan(20);
    expect(seen.unknown).toMatch(/^EdgeError: .*does not exist/);
  });

  test("goes from WASM to WebGPU and back by its saved bytes, with one text, whoever chooses the tokens", async () => {
    const page = await blankPage(browser.current);
    const seen = await page.evaluate(async (url) => {
      const wasm = await loadModel(url, { backend: "wasm" });
      const gpu = await loadModel(url, { backend: "webgpu" });
      const seen = [];
      // The GPU gives the logits to the engine, or chooses by itself and runs ahead.
      for (const sampling of [{ presencePenalty: 1e-9 }, { topK: 20 }, {}, { topP: 0.999, minP: 1e-4 }]) {
        const options = { ...sampling, maxTokens: 15, seed: 3 };
        const whole = (await (await wasm.session()).append("The fox", { ...options, maxTokens: 60 }).result).text;
        const [here, there] = [await wasm.session(), await gpu.session()];
        let text = (await here.append("The fox", options).result).text;
        const results = [];
        for (const [from, to] of [
          [here, there],
          [there, here],
          [here, there],
        ] as const) {
          await to.restore(await from.save());
          const result = await to.append("", { ...sampling, maxTokens: 15 }).result;
          results.push([result.backend, result.cachedTokens, to.tokens]);
          text += result.text;
        }
        seen.push({ whole, text, results });
      }
      await Promise.all([wasm.dispose(), gpu.dispose()]);
      return seen;
      // In f32, where both compute the same but for rounding.
    }, packageUrl(site.chat));
    for (const { whole, text, results } of seen) {
      expect(text).toBe(whole);
      const tokens = results[0]![2] as number;
      // The token that was sampled last is fed by the next.
      expect(results).toEqual([
        ["webgpu", tokens - 16, tokens],
        ["wasm", tokens - 1, tokens + 15],
        ["webgpu", tokens + 14, tokens + 30],
      ]);
    }
  });
});

test("a chat is the edge's chat, and the second turn computes what is new", async () => {
  const page = await blankPage(browser.current);
  const seen = await page.evaluate(async (url) => {
    const replies: string[][] = [];
    const cached: number[] = [];
    for (const backend of ["wasm", "rest"] as const) {
      const model = await loadModel(url, { backend });
      const messages: { role: "user" | "assistant"; content: string }[] = [{ role: "user", content: "Good morning" }];
      const one = await model.chat(messages, { seed: 2, maxTokens: 20 }).result;
      messages.push({ role: "assistant", content: one.text }, { role: "user", content: "And then?" });
      const two = await model.chat(messages, { seed: 2, maxTokens: 20 }).result;
      replies.push([one.text, two.text]);
      cached.push(two.cachedTokens);
      await model.dispose();
    }
    return { replies, cached };
  }, packageUrl(site.chat));
  expect(seen.replies[0]).toEqual(seen.replies[1]);
  expect(seen.cached[0]).toBeGreaterThan(10);
});

test("a model is found by its name; its id stays what it is", async () => {
  const page = await blankPage(browser.current);
  const seen = await page.evaluate(
    async ([url, missing]) => {
      const ids: string[] = [];
      for (const address of [url!, `${url}/`, new URL(url!).pathname]) {
        const model = await loadModel(address, { backend: "wasm" });
        ids.push(model.info.id);
        await model.dispose();
      }
      const none = await loadModel(missing!, { backend: "wasm" }).catch((error: Error) => error.message);
      return { ids, none };
    },
    [packageUrl("a-story"), packageUrl("nobody")],
  );
  expect(seen.ids).toEqual([site.story, site.story, site.story]);
  expect(seen.none).toMatch(/weights\/nobody\/manifest\.msgpack: got status 404/);
});

test("an option that there is not is refused with those that there are, and changes nothing", async () => {
  const page = await blankPage(browser.current);
  const seen = await page.evaluate(
    async ([url, seeing]) => {
      const failure = (error: Error): string => `${error.name}: ${error.message}`;
      // biome-ignore lint/suspicious/noExplicitAny: what TypeScript would refuse too
      const wrong = (options: object): any => options;
      const model = await loadModel(url!, { backend: "wasm" });
      const images = await loadImageModel(seeing!, { backend: "wasm" });
      const session = await model.session();
      const iterate = async (): Promise<string> => {
        for await (const _ of model.generate("a", wrong({ onToken: () => {} }))) return "a piece";
        return "the end";
      };
      const messages = [
        await model.generate("a", wrong({ max_tokens: 5 })).result.catch(failure),
        await model.chat([{ role: "user", content: "a" }], wrong({ top_p: 1 })).result.catch(failure),
        await session.append("a", wrong({ maxtokens: 5 })).result.catch(failure),
        await iterate().catch(failure),
        await model.predict([], [], wrong({ timeout: 1 })).catch(failure),
        await images.classify(new Blob(), wrong({ top_k: 1 })).catch(failure),
        await loadModel(url!, wrong({ cache: false })).catch(failure),
        await loadImageModel(seeing!, wrong({ cache: false })).catch(failure),
      ];
      const after = await session.append("a", { maxTokens: 3, logitBias: { 0: -100 } }).result;
      await Promise.all([model.dispose(), images.dispose()]);
      return { messages, tokens: after.completionTokens };
    },
    [packageUrl(site.story), packageUrl(site.seeing)],
  );
  const generating = "maxTokens, temperature, .*, seed, stop, responseFormat, signal$";
  const wanted = [
    `generate has no option "max_tokens": there are ${generating}`,
    `chat has no option "top_p": there are ${generating}`,
    `append has no option "maxtokens": there are ${generating}`,
    `generate has no option "onToken": there are ${generating}`,
    'predict has no option "timeout": there are standardize, signal$',
    'classify has no option "top_k": there are topK, observe, signal$',
    'loadModel has no option "cache": there are backend, onProgress, .*, store$',
    'loadImageModel has no option "cache": there are backend, .*, store$',
  ];
  expect(seen.messages).toEqual(wanted.map((message) => expect.stringMatching(`^ParameterError: ${message}`)));
  expect(seen.tokens).toBe(3);
});

test("what is wrong is said: parameters, addresses, a model that fits nowhere", async () => {
  const page = await blankPage(browser.current);
  const seen = await page.evaluate(async (url) => {
    const failure = (error: Error): string => `${error.name}: ${error.message}`;
    const model = await loadModel(url, { backend: "wasm" });
    const temperature = await model.generate("a", { temperature: 3 }).result.catch(failure);
    const empty = await (await model.session()).append("", {}).result.catch(failure);
    await model.dispose();
    const missing = await loadModel("/weights/none@000000000000", { backend: "wasm" }).catch(failure);
    const tight = await loadModel(url, { backend: "wasm", memoryBudget: 1e5 }).catch(failure);
    const elsewhere = await loadModel(url, { backend: "auto", memoryBudget: 1e5 });
    const text = (await elsewhere.generate("a", { maxTokens: 3 }).result).completionTokens;
    await elsewhere.dispose();
    const aborted = await loadModel(url, { signal: AbortSignal.abort() }).catch((error: Error) => error.name);
    return { temperature, empty, missing, tight, aborted, text, elsewhere: [elsewhere.backend, elsewhere.reason] };
  }, packageUrl(site.story));
  expect(seen.temperature).toMatch(/^ParameterError: temperature is 3/);
  expect(seen.empty).toMatch(/^ParameterError: .*nothing to continue/);
  expect(seen.missing).toMatch(/^PackageError: .*status 404/);
  expect(seen.tight).toMatch(/^MemoryBudgetError: .* needs \d.* MB.*budget is 0.1 MB/);
  expect(seen.elsewhere[0]).toBe("rest");
  expect(seen.elsewhere[1]).toContain("does not fit");
  expect(seen.text).toBe(3);
  expect(seen.aborted).toBe("AbortError");
});
