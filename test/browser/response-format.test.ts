import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { folderSource } from "../../weights/node/folder.ts";
import type { GenerationResult, ResponseFormat } from "../../worker/browser/client/api.ts";
import { Edge } from "../../worker/browser/host/edge.ts";
import type { HostGeneration } from "../../worker/browser/host/host-model.ts";
import { localModel } from "../../worker/browser/host/local-model.ts";
import { wireFields } from "../../worker/browser/host/remote-generation.ts";
import { outputFormat } from "../../worker/browser/host/response-format.ts";
import { Model } from "../../worker/engine/model.ts";
import { blankPage, packageUrl, site, useBrowser } from "./visit.ts";

const browser = useBrowser();
const wasm = await createWasmBackend(await loadWasmModules());
const { signal } = new AbortController();

const schema = {
  type: "object",
  properties: { name: { type: "string", maxLength: 12 }, age: { type: "integer", minimum: 0, maximum: 120 } },
  required: ["name", "age"],
};
const person: ResponseFormat = { type: "json_schema", json_schema: { name: "person", schema } };
const formats: ResponseFormat[] = [
  person,
  { type: "json_object" },
  { type: "json_schema", json_schema: { name: "any", schema: null as never, strict: true } },
];

const story = folderSource(fileURLToPath(new URL("../../dist/browser-test-models/a-story", import.meta.url)));

async function finish(generation: HostGeneration): Promise<GenerationResult> {
  let next = await generation.next();
  while (!next.done) next = await generation.next();
  return next.value;
}

function expectPerson(text: string): void {
  expect(JSON.parse(text)).toEqual({ name: expect.any(String), age: expect.any(Number) });
}

test("a text, a chat's reply and an append are JSON of the format, the same on WASM and at the edge", async () => {
  const page = await blankPage(browser.current);
  const seen = await page.evaluate(
    async ({ url, all }) => {
      const texts: string[][] = [];
      const finishes = new Set<string>();
      for (const backend of ["wasm", "rest"] as const) {
        const model = await loadModel(url, { backend });
        const session = await model.session();
        const said: string[] = [];
        for (const [i, responseFormat] of all.entries()) {
          const options = { responseFormat, seed: 5 + i, maxTokens: 60, temperature: 1.3 };
          const chat = model.chat([{ role: "user", content: "Who are you?" }], options);
          let streamed = "";
          for await (const { text } of chat) streamed += text;
          if (streamed !== (await chat.result).text) said.push("the pieces are another text");
          for (const generation of [model.generate("Once", options), chat, session.append(" It was", options)]) {
            const { text, finishReason } = await generation.result;
            said.push(text);
            finishes.add(finishReason);
          }
        }
        await model.dispose();
        texts.push(said);
      }
      return { texts, finishes: [...finishes] };
    },
    { url: packageUrl(site.chat), all: formats },
  );
  expect(seen.texts[0]).toEqual(seen.texts[1]);
  expect(seen.finishes).toEqual(["stop"]);
  const texts = seen.texts[0]!;
  expect(texts).toHaveLength(9);
  for (const text of texts.slice(0, 3)) expectPerson(text);
  for (const text of texts.slice(3, 6)) expect(Object.getPrototypeOf(JSON.parse(text))).toBe(Object.prototype);
  for (const text of texts.slice(6)) expect(() => JSON.parse(text)).not.toThrow();
});

test("WebGPU writes the same JSON", async () => {
  const page = await blankPage(browser.current);
  const texts = await page.evaluate(
    async ({ url, responseFormat }) => {
      const said: string[] = [];
      for (const backend of ["wasm", "webgpu"] as const) {
        const model = await loadModel(url, { backend });
        said.push((await model.generate("Once", { responseFormat, seed: 3, maxTokens: 60 }).result).text);
        await model.dispose();
      }
      return said;
    },
    { url: packageUrl(site.small), responseFormat: person },
  );
  expectPerson(texts[0]!);
  expect(texts[1]).toBe(texts[0]);
});

test("null and the type text are no format, as at the edge", async () => {
  for (const format of [null as never, { type: "text" } as const]) {
    expect(outputFormat(format)).toBe(undefined);
    expect(wireFields({ responseFormat: format }).response_format).toBe(format);
  }
});

test("what is wrong with a format is a ParameterError that names it, on every backend, and changes nothing", async () => {
  const page = await blankPage(browser.current);
  const seen = await page.evaluate(
    async ({ url, right }) => {
      const failure = (error: Error): string => `${error.name}: ${error.message}`;
      const named = (fields: object): unknown => ({ type: "json_schema", json_schema: fields });
      const wrong: unknown[] = [
        "json",
        { type: "xml" },
        { type: "json_object", schema: {} },
        { type: "json_schema" },
        named({ schema: {} }),
        named({ name: "a b" }),
        named({ name: "a", scheme: {} }),
        named({ name: "a", schema: [] }),
        named({ name: "a", strict: "yes" }),
        named({ name: "a", description: 5 }),
      ];
      const all: string[][] = [];
      for (const backend of ["wasm", "rest"] as const) {
        const model = await loadModel(url, { backend });
        const session = await model.session();
        const messages: string[] = [];
        for (const responseFormat of wrong) {
          const options = { responseFormat: responseFormat as never };
          messages.push(String(await model.generate("a", options).result.catch(failure)));
          await session.append("a", options).result.catch(() => {});
        }
        const few = await model.generate("a", { responseFormat: right, maxTokens: 3 }).result.catch(failure);
        const unsupported = named({ name: "a", schema: { not: {} } }) as never;
        const keyword = await model.generate("a", { responseFormat: unsupported }).result.catch(failure);
        all.push([...messages, String(session.tokens), String(keyword), String(few)]);
        await model.dispose();
      }
      return all;
    },
    { url: packageUrl(site.story), right: person },
  );
  const [local, remote] = seen as [string[], string[]];
  const own = [
    "responseFormat is json: it must be an object whose type is one of",
    'responseFormat.type is "xml": it must be an object whose type is one of',
    'responseFormat has no field "schema": there are type',
    "responseFormat.json_schema is undefined: it must be an object such as {name, schema}",
    "responseFormat.json_schema.name is missing: it must be a name",
    'responseFormat.json_schema.name is "a b": it must be a name',
    'responseFormat.json_schema has no field "scheme": there are name, schema, strict, description',
    "responseFormat.json_schema.schema is []: it must be a JSON Schema",
    'responseFormat.json_schema.strict is "yes": it must be true or false',
    "responseFormat.json_schema.description is 5: it must be a text",
  ];
  expect(local.slice(0, 11)).toEqual([...own.map((text) => expect.stringContaining(`ParameterError: ${text}`)), "0"]);
  expect(remote.slice(0, 11)).toEqual(local.slice(0, 11));
  expect(local[11]).toMatch(/^ParameterError: responseFormat\.json_schema\.schema.*not/);
  expect(local[12]).toMatch(/^ParameterError: maxTokens is 3.* \d+ tokens/);
  expect(remote[11]).toMatch(/^EdgeError: response_format\.json_schema\.schema.*not/);
  expect(remote[12]).toMatch(/^EdgeError: max_tokens is 3/);
});

test("a format is refused where a session holds back a piece of a text, until there is new text", async () => {
  const model = await Model.load(story, wasm);
  const host = localModel(model, { backend: "wasm", reason: "" }, new Edge(site.url, undefined));
  const session = await host.session();
  // The last token of the text may begin the stop string: it is held back.
  const first = await finish(session.append("The fox", { seed: 2, maxTokens: 6, logitBias: { 0: -100 } }, signal));
  const stop = [`${first.text.slice(-1)}\u0000never`];
  const held = await host.session();
  await finish(held.append("The fox", { seed: 2, maxTokens: 6, stop, logitBias: { 0: -100 } }, signal));
  const options = { responseFormat: person, maxTokens: 60, seed: 1 };
  await expect(finish(held.append("", options, signal))).rejects.toThrow(/holds back a piece: append a text first/);
  expectPerson((await finish(held.append(" is", options, signal))).text);
  expectPerson((await finish(session.append("", options, signal))).text);
  model.dispose();
});
