import { describe, expect, test } from "vitest";
import { createReferenceBackend } from "../../kernels/reference/index.ts";
import { countTokens, excerptsOf, inputImportance, perplexityOf } from "../../scripts/lib/calibrate.ts";
import { documentsOf, perplexity, score } from "../../scripts/lib/score.ts";
import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { TextTokenizer } from "../../worker/engine/tokenizer.ts";
import { reference, wasm } from "../support/backends.ts";
import { tinyModel, tinyPackage } from "../support/models.ts";
import { byteTokenizer } from "../support/tokenizers.ts";

const tokenizer = TextTokenizer.fromJson(byteTokenizer());
const text = Array.from({ length: 4000 }, (_, i) => `${i}`).join(" ");

describe("excerpts", () => {
  const cases = [
    { tokens: 1, calibration: 1, heldOut: 1 },
    { tokens: 256, calibration: 1, heldOut: 1 },
    { tokens: 2048, calibration: 8, heldOut: 4 },
  ];
  test.each(cases)("of $tokens tokens: $calibration to calibrate on, $heldOut between them", (c) => {
    const { calibration, heldOut } = excerptsOf(text, tokenizer, c.tokens);
    expect([calibration.length, heldOut.length]).toEqual([c.calibration, c.heldOut]);
    const parts = [...calibration, ...heldOut].map((e) => tokenizer.decode(e));
    const places = parts.map((p) => [text.indexOf(p), text.indexOf(p) + p.length] as const);
    for (const [i, [from, to]] of places.entries()) {
      expect(from).toBeGreaterThanOrEqual(0);
      expect(to - from).toBeGreaterThan(200);
      for (const [a, b] of places.slice(i + 1)) expect(from >= b || a >= to).toBe(true);
    }
    expect(Math.max(...places.map(([from]) => from))).toBeGreaterThan(0.4 * text.length);
  });

  test("do not cross documents", () => {
    const joined = text.replace(/(\d{3}7 )/g, "$1<|endoftext|>");
    const { calibration, heldOut } = excerptsOf(joined, tokenizer, 1024);
    for (const e of [...calibration, ...heldOut]) expect(tokenizer.decode(e)).not.toContain("<");
  });

  test("of a text too short are refused", () => {
    expect(() => excerptsOf("once upon a time", tokenizer, 2048)).toThrow(/too short: only \d+ tokens/);
  });
});

test("the importance of a column is the mean square of its input, moved towards the others'", async () => {
  const source = await tinyPackage({ tied: false });
  const excerpts = [tokenizer.encode("Once upon a time there was a duck."), tokenizer.encode("The duck swam.")];
  const inputs = new Map<string, Float64Array[]>();
  const observing = createReferenceBackend((weight, x) => {
    inputs.set(weight, [...(inputs.get(weight) ?? []), x.slice()]);
  });
  const model = await Model.load(source, observing);
  for (const targets of excerpts) {
    const sequence = new Sequence(model);
    await sequence.feed([0, ...targets.slice(0, -1)], { targets });
  }
  const importance = await inputImportance(source, excerpts);
  expect([...importance.keys()].sort()).toEqual(
    ["x_proj", "in_proj", "out_proj", "dt_proj"]
      .flatMap((part) => [`layers.0.${part}.weight`, `layers.1.${part}.weight`])
      .concat("head.weight")
      .sort(),
  );
  for (const [name, vectors] of inputs) {
    expect(vectors.length, name).toBe(countTokens(excerpts));
    const squares = vectors[0]!.map((_, c) => vectors.reduce((sum, x) => sum + x[c]! ** 2 / vectors.length, 0));
    const mean = squares.reduce((a, b) => a + b, 0) / squares.length;
    const expected = squares.map((s) => s + 0.3 * mean);
    importance.get(name)!.forEach((v, c) => {
      expect(v / expected[c]!, `${name} ${c}`).toBeCloseTo(1, 9);
    });
  }
});

test("perplexity of excerpts is eval's of the same documents, on every backend", async () => {
  const documents = documentsOf("Once upon a time.<|endoftext|>There was a duck.");
  for (const backend of [reference, wasm]) {
    const model = await tinyModel(backend);
    const own = await perplexityOf(
      model,
      documents.map((d) => tokenizer.encode(d)),
    );
    expect(own).toBeCloseTo(perplexity(await score(model, documents)), 9);
  }
});
