import { expect, test } from "vitest";
import { blankPage, packageUrl, site, useBrowser } from "./visit.ts";

const browser = useBrowser();

declare global {
  /** what one may write without types, by the name that the table has it under. */
  // biome-ignore lint/suspicious/noExplicitAny: what TypeScript would refuse
  var given: Record<string, any>;
}

/** Loads a model of each kind, and holds them for the calls of the table. */
async function pageOfModels() {
  const page = await blankPage(browser.current);
  await page.evaluate(
    async ([url, seeing]) => {
      const listed = (await (await fetch("/weights/index.json")).json()) as { id: string; name: string }[];
      const { id } = listed.find(({ name }) => name === "icl-mamba-linear")!;
      const model = await loadModel(url!, { backend: "wasm" });
      const remote = await loadModel(url!, { backend: "rest" });
      const learner = await loadModel(`/weights/${id}`, { backend: "wasm" });
      const images = await loadImageModel(seeing!, { backend: "wasm" });
      const session = await model.session();
      const learning = await learner.session();
      const x = [1, 2, 3, 4, 5];
      globalThis.given = { url, model, remote, learner, images, session, learning, x, loadModel, loadImageModel };
    },
    [packageUrl(site.story), packageUrl(site.seeing)],
  );
  return page;
}

const CHAT = 'such as \\{ role: "user", content: "Hello" \\}';
const SIGNAL = "it must be an AbortSignal, such as the signal of an AbortController";
const EXAMPLE = "it must be an object \\{ x, y \\}, where x is a list of numbers and y a number";

/** A call, and what it rejects with. A generation is awaited by its result. */
const WRONG: readonly (readonly [call: string, message: string])[] = [
  ["model.generate()", "prompt is missing: it must be a text"],
  ["model.generate(5)", "prompt is 5: it must be a text"],
  ["model.generate(null)", "prompt is null: it must be a text"],
  ["model.generate(['a'])", "prompt is a list: it must be a text"],
  ["model.generate(() => 'a')", "prompt is a function: it must be a text"],
  ["remote.generate(5)", "prompt is 5: it must be a text"],
  ["model.generate('a', 5)", "the last argument of generate is 5: it must be an object of options"],
  ["model.generate('a', 'fast')", 'the last argument of generate is "fast": it must be an object of options'],
  ["model.generate('a', [])", "the last argument of generate is an empty list: it must be an object of options"],
  ["model.generate('a', { maxTokens: '5' })", 'maxTokens is "5": it must be a number'],
  ["model.generate('a', { temperature: true })", "temperature is true: it must be a number"],
  ["model.generate('a', { topP: [] })", "topP is an empty list: it must be a number"],
  ["model.generate('a', { topK: {} })", "topK is an object: it must be a number"],
  ["model.generate('a', { minP: '0' })", 'minP is "0": it must be a number'],
  ["model.generate('a', { repetitionPenalty: '1' })", 'repetitionPenalty is "1": it must be a number'],
  ["model.generate('a', { frequencyPenalty: '1' })", 'frequencyPenalty is "1": it must be a number'],
  ["model.generate('a', { presencePenalty: '1' })", 'presencePenalty is "1": it must be a number'],
  ["model.generate('a', { seed: 7n })", "seed is 7: it must be a number"],
  [
    "model.generate('a', { logitBias: new Map() })",
    "logitBias is a Map: it must be an object of token ids and numbers",
  ],
  ["model.generate('a', { logitBias: { 0: '1' } })", "logit_bias is .*: it must be from -100 to 100"],
  ["model.generate('a', { stop: '.' })", 'stop is "\\.": it must be a list of texts'],
  ["remote.generate('a', { stop: [5] })", "stop is a list: it must be a list of texts"],
  ["model.generate('a', { signal: new AbortController() })", `signal is an AbortController: ${SIGNAL}`],
  ["model.generate('a', { responseFormat: { type() {} } })", "what was given cannot go to the Web Worker, it must be"],
  ["model.chat()", "messages is missing: it must be a list of at least one message"],
  ["model.chat('hello')", `messages is "hello": it must be a list of at least one message, such as \\[.*`],
  ["model.chat([])", "messages is an empty list: it must be a list of at least one message"],
  ["model.chat(['hello'])", `messages\\[0\\] is "hello": it must be an object ${CHAT}`],
  ["model.chat([{ role: 'user' }])", "messages\\[0\\]\\.content is missing: it must be a text"],
  ["remote.chat([{ role: 'user', content: [] }])", "messages\\[0\\]\\.content is an empty list: it must be a text"],
  [
    "model.chat([{ content: 'a' }])",
    'messages\\[0\\]\\.role is missing: it must be one of "system", "user", "assistant"',
  ],
  ["model.chat([{ role: 'bot', content: 'a' }])", 'messages\\[0\\]\\.role is "bot": it must be one of "system", .*'],
  [
    "model.chat([{ role: 'user', content: 'a' }], 5)",
    "the last argument of chat is 5: it must be an object of options",
  ],
  ["session.append()", 'text is missing: it must be a text, or "" to go on'],
  ["session.append({ text: 'a' })", 'text is an object: it must be a text, or "" to go on'],
  ["session.append('a', { signal: 5 })", `signal is 5: ${SIGNAL}`],
  ["session.restore()", "bytes is missing: it must be a Uint8Array, such as save\\(\\) gives"],
  ["session.restore(new ArrayBuffer(8))", "bytes is an ArrayBuffer: it must be a Uint8Array, .*"],
  ["session.push(5)", "id is 5: it must be a text such as push\\(\\) gives"],
  ["session.pull()", "id is missing: it must be a text such as push\\(\\) gives"],
  ["learner.predict()", "examples is missing: it must be a list of examples \\{ x, y \\}"],
  ["learner.predict('x', [])", 'examples is "x": it must be a list of examples \\{ x, y \\}'],
  ["learner.predict([[x, 2]], [x])", `examples\\[0\\] is a list: ${EXAMPLE}`],
  ["learner.predict([{ y: 1 }], [x])", "examples\\[0\\]\\.x is missing: it must be a list of numbers"],
  ["learner.predict([{ x: 1, y: 1 }], [x])", "examples\\[0\\]\\.x is 1: it must be a list of numbers"],
  ["learner.predict([{ x: ['1'], y: 1 }], [x])", "examples\\[0\\]\\.x is a list: it must be a list of numbers"],
  [
    "learner.predict([{ x: new Float32Array(5), y: 1 }], [x])",
    "examples\\[0\\]\\.x is a Float32Array: it must be a list of numbers",
  ],
  ["learner.predict([{ x }], [x])", "examples\\[0\\]\\.y is missing: it must be a number, or a list of numbers"],
  ["learner.predict([{ x, y: '1' }], [x])", 'examples\\[0\\]\\.y is "1": it must be a number, or a list of numbers'],
  ["learner.predict([{ x, y: 1 }])", "queries is missing: it must be a list of queries, each a list of numbers"],
  [
    "learner.predict([{ x, y: 1 }], x)",
    "queries\\[0\\] is 1: it must be a list of numbers: queries are a list of such",
  ],
  ["learner.predict([{ x, y: 1 }], [x], 5)", "the last argument of predict is 5: it must be an object of options"],
  ["learner.predict([], [x], { signal: true })", `signal is true: ${SIGNAL}`],
  ["learner.predict([], [x], { standardize: 1 })", "standardize is 1: it must be true or false"],
  ["images.classify()", "picture is missing: it must be a Blob or File of a picture"],
  ["images.classify(document.createElement('img'))", "picture is a HTMLImageElement: it must be a Blob or File .*"],
  ["images.classify(new Blob(), { topK: '1' })", 'topK is "1": it must be a number'],
  ["images.classify(new Blob(), { observe: 'all' })", 'observe is "all": it must be a number'],
  ["loadModel()", "url is missing: it must be a URL, such as https://host/weights/name"],
  ["loadModel(5)", "url is 5: it must be a URL, .*"],
  ["loadModel('http://')", 'url is "http://": it must be a URL, .*'],
  ["loadModel(url, 'gpu')", 'the last argument of loadModel is "gpu": it must be an object of options'],
  ["loadModel(url, { backend: 'gpu' })", 'backend is "gpu": it must be one of "auto", "webgpu", "wasm", "rest"'],
  ["loadImageModel(url, { backend: 'cpu' })", 'backend is "cpu": it must be one of "auto", "webgpu", "wasm", "rest"'],
  ["loadModel(url, { onProgress: true })", "onProgress is true: it must be a function"],
  ["loadModel(url, { signal: {} })", `signal is an object: ${SIGNAL}`],
  ["loadModel(url, { edge: 5 })", "edge is 5: it must be a URL, .*"],
  ["loadModel(url, { edge: 'http://' })", 'edge is "http://": it must be a URL, .*'],
  ["loadModel(url, { apiKey: 5 })", "apiKey is 5: it must be a text"],
  ["loadModel(url, { memoryBudget: '1GB' })", 'memoryBudget is "1GB": it must be a number of bytes above 0'],
  ["loadModel(url, { memoryBudget: 0 })", "memoryBudget is 0: it must be a number of bytes above 0"],
  ["loadModel(url, { store: 'no' })", 'store is "no": it must be true or false'],
];

test("what is of a wrong kind is a ParameterError that says what was seen, and comes where errors come", async () => {
  const page = await pageOfModels();
  const seen = await page.evaluate(
    async (calls) => {
      const said: string[] = [];
      for (const call of calls) {
        const failure = (error: Error): string => `${error.name}: ${error.message}`;
        const names = Object.keys(given);
        // What is thrown at once, and not told by a promise, fails the test.
        const made = new Function(...names, `return ${call}`)(...names.map((name) => given[name]));
        said.push(await (made.result ?? made).then(() => "nothing", failure));
      }
      return said;
    },
    WRONG.map(([call]) => call),
  );
  const wanted = WRONG.map(([call, message]) => [call, expect.stringMatching(`^ParameterError: ${message}`)]);
  expect(WRONG.map(([call], i) => [call, seen[i]])).toEqual(wanted);

  const after = await page.evaluate(async () => {
    const { model, learner, session, x } = given;
    let thrown = "";
    try {
      for await (const _ of model.chat("hello")) thrown = "a piece";
    } catch (error) {
      thrown = (error as Error).message;
    }
    let listening = "";
    try {
      model.onBackendChange("print");
    } catch (error) {
      listening = `${(error as Error).name}: ${(error as Error).message}`;
    }
    const empty = { temperature: null, stop: undefined, seed: null, maxTokens: 3, logitBias: { 0: -100 } };
    const { completionTokens } = await session.append("a", empty).result;
    const { predictions } = await learner.predict([{ x, y: [1] }], [x], null);
    return { thrown, listening, completionTokens, predictions };
  });
  expect(after.thrown).toMatch(/^messages is "hello"/);
  expect(after.listening).toBe('ParameterError: listener is "print": it must be a function');
  expect(after.completionTokens).toBe(3);
  expect(after.predictions).toEqual([[expect.any(Number)]]);
});

test("a model that learns from examples says how it is asked", async () => {
  const page = await pageOfModels();
  const seen = await page.evaluate(async () => {
    const { learner, learning } = given;
    const failure = (error: Error): string => `${error.name}: ${error.message}`;
    const asked = [learner.generate("x"), learner.chat([{ role: "user", content: "x" }]), learning.append("x")];
    return Promise.all(asked.map(({ result }) => result.catch(failure)));
  });
  expect(seen).toEqual(
    Array(3).fill(
      expect.stringMatching(
        /^ModelError: icl-mamba-linear@\w+ learns from examples and writes no text: call model\.predict\(examples, queries\)$/,
      ),
    ),
  );
});

test("an append to a busy session is told by its result and its loop", async () => {
  const page = await pageOfModels();
  const seen = await page.evaluate(async () => {
    const { session } = given;
    const failure = (error: Error): string => `${error.name}: ${error.message}`;
    const first = session.append("a", { maxTokens: 40, logitBias: { 0: -100 } });
    const second = session.append("b");
    const iterate = async (): Promise<string> => {
      for await (const _ of second) return "a piece";
      return "the end";
    };
    const told = [await iterate().catch(failure), await second.result.catch(failure)];
    const { completionTokens } = await first.result;
    const third = await session.append("", { maxTokens: 2, logitBias: { 0: -100 } }).result;
    return { told, counts: [completionTokens, third.completionTokens] };
  });
  const busy = "SessionBusyError: the session is generating: wait for its result, or fork it";
  expect(seen).toEqual({ told: [busy, busy], counts: [40, 2] });
});
