import { describe, expect, test } from "vitest";
import type { Chunk, GenerationResult, ModelInfo } from "../../worker/browser/client/api.ts";
import { type CompletionEvent, Edge } from "../../worker/browser/host/edge.ts";
import { EdgeError } from "../../worker/browser/host/errors.ts";
import type { HostGeneration } from "../../worker/browser/host/host-model.ts";
import { remoteGeneration } from "../../worker/browser/host/remote-generation.ts";
import { remoteModel } from "../../worker/browser/host/remote-model.ts";
import { remoteSession } from "../../worker/browser/host/remote-session.ts";
import { site } from "./visit.ts";

const info = { id: site.story } as ModelInfo;
const { signal } = new AbortController();
// The end of the text would end it too early.
const options = { seed: 5, temperature: 1.2, frequencyPenalty: 0.8, logitBias: { 0: -100 } };

async function finish(generation: HostGeneration): Promise<{ result: GenerationResult; chunks: Chunk[] }> {
  const chunks: Chunk[] = [];
  let next = await generation.next();
  for (; !next.done; next = await generation.next()) chunks.push(next.value);
  return { result: next.value, chunks };
}

test("each piece says how long the whole sequence is, in a session, a text and a chat", async () => {
  const edge = new Edge(site.url, undefined);
  const session = remoteSession(edge, info);
  await finish(session.append("Once upon", { ...options, maxTokens: 7 }, signal));
  const before = session.tokens;
  expect(before).toBeGreaterThan(9);
  const text = remoteModel(edge, info, "").generate("Once upon a time", { ...options, maxTokens: 30 }, signal);
  const chat = remoteModel(edge, { id: site.chat } as ModelInfo, "").chat(
    [{ role: "user", content: "Good morning" }],
    { ...options, maxTokens: 30 },
    signal,
  );
  for (const generation of [session.append(" a", { ...options, maxTokens: 30 }, signal), text, chat]) {
    const { result, chunks } = await finish(generation);
    let made = 0;
    for (const { length, tokens } of chunks) {
      expect(tokens).toBeGreaterThan(0);
      made += tokens;
      expect(length).toBe(result.promptTokens + made);
    }
    expect(chunks.length).toBeGreaterThan(3);
    expect(made).toBeGreaterThan(result.completionTokens - 4);
  }
  expect(session.tokens).toBeGreaterThanOrEqual(before + 31);
});

test("of pieces that came together, those after the stop are not given out", async () => {
  const stop = new AbortController();
  const event = (text: string, made: number) =>
    ({ choices: [{ text }], usage: { prompt_tokens: 2, completion_tokens: made }, seed: 5 }) as CompletionEvent;
  async function* together(): AsyncGenerator<CompletionEvent> {
    for (const [i, text] of ["a", "b", "c", "d"].entries()) yield event(text, i + 1);
  }
  const generation = remoteGeneration(together(), stop.signal);
  expect((await generation.next()).value).toMatchObject({ text: "a" });
  expect((await generation.next()).value).toMatchObject({ text: "b" });
  stop.abort();
  const { done, value } = await generation.next();
  expect(done).toBe(true);
  expect(value).toMatchObject({ text: "ab", finishReason: "cancelled", completionTokens: 2 });
});

/** An edge whose streams are cut after some events: at once, or when the edge has long come to the end and stored it. */
class CutEdge extends Edge {
  readonly controller = new AbortController();
  readonly after: number;
  readonly ended: boolean;

  constructor(after: number, ended: boolean) {
    super(site.url, undefined);
    this.after = after;
    this.ended = ended;
  }

  override async *stream(path: string, body: object, stop: AbortSignal): AsyncGenerator<CompletionEvent> {
    const events = super.stream(path, body, stop);
    const all: CompletionEvent[] = [];
    if (this.ended) for await (const event of events) all.push(event);
    let count = 0;
    for await (const event of this.ended ? all : events) {
      if (++count > this.after && !this.controller.signal.aborted) {
        this.controller.abort();
        throw stop.reason;
      }
      yield event;
    }
  }
}

describe("a session whose append is stopped holds what was given out, and goes on from there", () => {
  test.each([
    { given: "", ended: false },
    { given: "", ended: true },
    { given: "The fox", ended: false },
    { given: "The fox", ended: true },
  ])("after '$given', the edge at its end: $ended", async ({ given, ended }) => {
    const edge = new CutEdge(12, ended);
    const start = remoteSession(new Edge(site.url, undefined), info);
    const session = remoteSession(edge, info);
    if (given !== "") {
      await finish(start.append(given, { ...options, maxTokens: 3 }, signal));
      await session.pull(await start.push(undefined));
    }
    const { seed, ...further } = options;
    // A session that has a seed goes on with it.
    const fields = { ...further, ...(given === "" && { seed }) };
    const stopped = await finish(session.append(" Once upon", { ...fields, maxTokens: 200 }, edge.controller.signal));
    expect(stopped.result).toMatchObject({ finishReason: "cancelled", seed: 5 });
    const { completionTokens } = stopped.result;
    expect(completionTokens).toBeGreaterThanOrEqual(12);
    expect(completionTokens).toBeLessThan(40);
    expect(stopped.chunks.map(({ text }) => text).join("")).toBe(stopped.result.text);
    expect(session.tokens).toBe(stopped.chunks.at(-1)!.length);
    const rest = await finish(session.append("", { ...further, maxTokens: 20 }, signal));
    const whole = await finish(start.append(" Once upon", { ...fields, maxTokens: completionTokens + 20 }, signal));
    expect(stopped.result.text + rest.result.text).toBe(whole.result.text);
    expect(session.tokens).toBe(start.tokens);
  });

  test.each([{ given: "" }, { given: "The fox" }])("after '$given', in the middle of a text in a format", async ({
    given,
  }) => {
    const edge = new CutEdge(6, false);
    const session = remoteSession(edge, info);
    const start = remoteSession(new Edge(site.url, undefined), info);
    if (given !== "") {
      await finish(start.append(given, { ...options, maxTokens: 3 }, signal));
      await session.pull(await start.push(undefined));
    }
    const schema = { type: "string", pattern: "^[a-z ]{40,90}$" };
    const responseFormat = { type: "json_schema", json_schema: { name: "words", schema } } as const;
    const asked = { seed: 5, maxTokens: 100, responseFormat };
    const { result } = await finish(session.append(" It said: ", asked, edge.controller.signal));
    expect(result).toMatchObject({ finishReason: "cancelled", seed: 5 });
    expect(result.text).toMatch(/^"[a-z ]{3,30}$/);
    expect(session.tokens).toBe(result.promptTokens + result.completionTokens);
    // What it goes on with is what goes on from that text.
    const rest = await finish(session.append("", { maxTokens: 12, logitBias: { 0: -100 } }, signal));
    await finish(start.append(` It said: ${result.text}`, { seed: 5, maxTokens: 0 }, signal));
    const same = await finish(start.append("", { maxTokens: 12, logitBias: { 0: -100 } }, signal));
    expect(rest.result.text).toBe(same.result.text);
  });

  test.each([
    { given: "", ended: false },
    { given: "", ended: true },
    { given: "The fox", ended: true },
  ])("before the first piece it holds '$given', not the words either, the edge at its end: $ended", async (start) => {
    const edge = new CutEdge(0, start.ended);
    const session = remoteSession(edge, info);
    const same = remoteSession(new Edge(site.url, undefined), info);
    const { given } = start;
    if (given !== "") {
      await finish(same.append(given, { ...options, maxTokens: 3 }, signal));
      await session.pull(await same.push(undefined));
    }
    const before = session.tokens;
    const { result } = await finish(session.append(" Once", { maxTokens: 5 }, edge.controller.signal));
    expect(result).toMatchObject({ finishReason: "cancelled", completionTokens: 0, text: "" });
    expect(session.tokens).toBe(before);
    if (given !== "") {
      expect(await session.save()).toEqual(await same.save());
      expect(await (await session.fork()).save()).toEqual(await same.save());
    }
    const { seed, ...further } = options;
    const fields = { ...further, maxTokens: 8, ...(given === "" && { seed }) };
    const [next, expected] = [session, same].map((each) => finish(each.append(" a hen", fields, signal)));
    expect((await next!).result.text).toBe((await expected!).result.text);
    expect(session.tokens).toBe(same.tokens);
  });

  test.each([{ given: "" }, { given: "The fox" }])("after '$given', an edge that refuses to keep it", async ({
    given,
  }) => {
    const edge = new CutEdge(12, false);
    const session = remoteSession(edge, info);
    const same = remoteSession(new Edge(site.url, undefined), info);
    if (given !== "") {
      await finish(same.append(given, { ...options, maxTokens: 1 }, signal));
      await session.pull(await same.push(undefined));
    }
    const before = session.tokens;
    const request = edge.request.bind(edge);
    edge.request = async (method, path, init) => {
      if (edge.controller.signal.aborted && path.endsWith("/append")) throw new EdgeError("come back in 3 s", 429);
      return request(method, path, init);
    };
    const { seed, ...further } = options;
    const fields = { ...further, maxTokens: 200, ...(given === "" && { seed }) };
    await expect(finish(session.append(" Once upon", fields, edge.controller.signal))).rejects.toThrow(
      /^what was written until the stop could not be kept, the session is as it was before: come back in 3 s$/,
    );
    expect(session.tokens).toBe(before);
    edge.request = request;
    const next = { ...further, maxTokens: 8, ...(given === "" && { seed }) };
    const { result } = await finish(session.append(" a hen", next, signal));
    expect(result.text).toBe((await finish(same.append(" a hen", next, signal))).result.text);
    expect(session.tokens).toBe(same.tokens);
  });
});
