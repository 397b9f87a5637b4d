import { describe, expect, test } from "vitest";
import type { BackendName, PredictionResult } from "../../worker/browser/client/api.ts";
import { losesDeviceAfter, realAdapter } from "./sabotage.ts";
import { blankPage, packageUrl, site, useBrowser } from "./visit.ts";

const browser = useBrowser();

/** Six points of y = x1 − x2, and two more x. */
const examples = Array.from({ length: 6 }, (_, i) => ({
  x: [Math.sin(i), Math.cos(i), 0.5, 0, 0],
  y: Math.sin(i) - Math.cos(i),
}));
const queries = [
  [1, 0, 0, 0, 0],
  [0.5, 0.5, 0, 0, 0],
];

/** What a page gets of the model whose name begins so. */
async function ask(name: string, backend: BackendName | "auto", code?: string) {
  const page = await blankPage(browser.current, code);
  const seen = await page.evaluate(
    async ([name, backend, examples, queries]) => {
      const listed = (await (await fetch("/weights/index.json")).json()) as { id: string; name: string }[];
      const { id } = listed.find((each) => each.name === name)!;
      const model = await loadModel(`/weights/${id}`, { backend });
      if (/^WASM computes until/.test(model.reason)) {
        await new Promise<void>((decided) => {
          const end = model.onBackendChange(() => {
            end();
            decided();
          });
        });
      }
      const result = await model.predict(examples, queries);
      const { info, reason } = model;
      await model.dispose();
      return { result, info, reason };
    },
    [name, backend, examples, queries] as const,
  );
  await page.context().close();
  return seen;
}

const numbers = ({ before, predictions }: PredictionResult): number[] => [...before, ...predictions].flat();

function close(a: PredictionResult, b: PredictionResult): void {
  expect(numbers(a)).toHaveLength(8);
  const largest = Math.max(...numbers(b).map(Math.abs));
  for (const [i, v] of numbers(a).entries()) expect(Math.abs(v - numbers(b)[i]!) / largest).toBeLessThan(1e-4);
}

test("data of another scale are standardized in the browser as at the edge, and what does not fit is named", async () => {
  const page = await blankPage(browser.current);
  const given = Array.from({ length: 7 }, (_, i) => {
    const [a, b] = [(5 * i) % 7, (i * i) % 5];
    return { x: [a, b], y: 100 + 30 * a - 20 * b };
  });
  const asked = [[3, 3]];
  const seen = await page.evaluate(
    async ([examples, queries]) => {
      const url = "/weights/icl-mamba-linear";
      const found: Partial<Record<"wasm" | "rest", PredictionResult>> = {};
      let fault = "";
      for (const backend of ["wasm", "rest"] as const) {
        const model = await loadModel(url, { backend });
        found[backend] = await model.predict(examples, queries, { standardize: true });
        fault = await model.predict(examples.slice(0, 1), queries, { standardize: true }).then(String, String);
        await model.dispose();
      }
      const body = JSON.stringify({ model: "icl-mamba-linear", examples, query: queries, standardize: true });
      const reply = await (await fetch("/v1/icl/predictions", { method: "POST", body })).json();
      return { ...found, edge: reply as { predictions: number[]; before: number[] }, fault };
    },
    [given, asked] as const,
  );
  await page.context().close();
  for (const { predictions, before } of [seen.wasm!, seen.rest!]) {
    expect(predictions.flat()[0]).toBeCloseTo(seen.edge.predictions[0]!, 2);
    expect(before.flat()[6]).toBeCloseTo(seen.edge.before[6]!, 2);
  }
  // In y's units, and not about 0.
  expect(seen.edge.predictions[0]!).toBeGreaterThan(20);
  expect(seen.fault).toMatch(/^ParameterError: standardize takes the mean .* two at least, here are 1/);
});

describe.each([
  ["icl-gpt2-linear", undefined, undefined],
  ["icl-mamba-linear", 5, expect.stringMatching(/^icl-mamba-linear was trained with up to 5 examples .* has 6: /)],
])("%s", (name, trained, note) => {
  test("predicts the same on WASM, on WebGPU and at the edge", async () => {
    const wasm = await ask(name, "wasm");
    expect(wasm.info).toMatchObject({ name, vocab: 0, inputs: 5, outputs: 1 });
    expect(wasm.info.trainedExamples).toBe(trained);
    expect(wasm.result).toMatchObject({ backend: "wasm", before: expect.any(Array) });
    expect(wasm.result.note).toEqual(note);
    for (const backend of ["webgpu", "rest"] as const) {
      const { result } = await ask(name, backend);
      expect(result).toMatchObject({ backend, stateBytes: wasm.result.stateBytes });
      expect(result.note).toEqual(note);
      close(result, wasm.result);
    }
  });
});

test("what was asked of a GPU that is lost meanwhile is answered by WASM", async () => {
  const { result } = await ask("icl-mamba-linear", "wasm");
  const lost = await ask("icl-mamba-linear", "webgpu", losesDeviceAfter(4));
  expect(lost.result.backend).toBe("wasm");
  close(lost.result, result);
});

test("auto compares the two on vectors", async () => {
  const { reason } = await ask("icl-mamba-linear", "auto", realAdapter);
  expect(reason).toMatch(/^(WebGPU agrees with WASM and is faster|WASM is faster) here: \d+ vectors\/s/);
});

test("what cannot be predicted is refused by name", async () => {
  const page = await blankPage(browser.current);
  const seen = await page.evaluate(
    async ([examples, story]) => {
      const listed = (await (await fetch("/weights/index.json")).json()) as { id: string; name: string }[];
      const { id } = listed.find((each) => each.name === "icl-gpt2-linear")!;
      const words = (error: Error): string => `${error.name}: ${error.message}`;
      const [model, language] = [
        await loadModel(`/weights/${id}`, { backend: "wasm" }),
        await loadModel(story, { backend: "wasm" }),
      ];
      const refused = [
        model.predict(examples, [[1, 2]]),
        model.predict([{ x: [1, 2, 3, 4, 5], y: Number.NaN }], []),
        model.predict(Array(102).fill(examples[0]), []),
        model.predict(examples, [], { signal: AbortSignal.abort() }),
        language.predict(examples, []),
        model.generate("Once").result,
      ];
      const messages = await Promise.all(refused.map((each) => each.then(() => "nothing", words)));
      const after = await model.predict(examples, []);
      await Promise.all([model.dispose(), language.dispose()]);
      return { messages, after };
    },
    [examples, packageUrl(site.story)] as const,
  );
  expect(seen.messages).toEqual([
    expect.stringMatching(/^ParameterError: query\[0\] has 2 numbers: .* takes 5/),
    expect.stringMatching(/^ParameterError: examples\[0\]\.y has NaN at 0: numbers must be finite/),
    expect.stringMatching(/^ParameterError: .* looks back at up to 202 positions, which are 100 examples and a query/),
    expect.stringMatching(/^AbortError: /),
    expect.stringMatching(/^ModelError: .* is fed tokens, not vectors/),
    expect.stringMatching(/^ModelError: .* learns from examples and writes no text: call model\.predict/),
  ]);
  expect(seen.after.before).toHaveLength(6);
});
