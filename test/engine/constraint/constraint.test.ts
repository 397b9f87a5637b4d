import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { folderSource } from "../../../weights/node/folder.ts";
import { constraintFor, type OutputFormat } from "../../../worker/engine/constraint/output-format.ts";
import { ParameterError } from "../../../worker/engine/errors.ts";
import {
  type GeneratedToken,
  type GenerationOptions,
  type GenerationResult,
  generate,
} from "../../../worker/engine/generate.ts";
import { Model } from "../../../worker/engine/model.ts";
import { Sequence } from "../../../worker/engine/sequence.ts";
import { effort } from "../../effort.ts";
import { wasm } from "../../support/backends.ts";
import { tinyModel } from "../../support/models.ts";
import { FORMAT_CHECKS } from "./formats.ts";
import { randomSchema, randomSource } from "./random-schema.ts";

const random = await tinyModel(wasm, { vocab: 257, tied: false });
const builtIn = await Model.load(folderSource("weights/models/fable-31m"), wasm);
const models = [
  { title: "random weights", model: random },
  { title: "the built-in model", model: builtIn },
];

interface Written extends GenerationResult {
  readonly text: string;
  readonly tokens: readonly GeneratedToken[];
  readonly ids: number[];
}

async function write(model: Model, options: Partial<GenerationOptions>): Promise<Written> {
  const sequence = new Sequence(model);
  try {
    const prompt = model.requireTokenizer().encode("It was told so: ");
    const pieces = generate(sequence, { prompt, maxTokens: 64, sampling: { seed: 1 }, ...options });
    const chunks = [];
    let next = await pieces.next();
    for (; !next.done; next = await pieces.next()) chunks.push(next.value);
    chunks.push(next.value.tail);
    const tokens = chunks.flatMap((c) => c.tokens);
    return { ...next.value, text: chunks.map((c) => c.text).join(""), tokens, ids: tokens.map((t) => t.id) };
  } finally {
    sequence.dispose();
  }
}

function constraintOf(model: Model, format: OutputFormat) {
  return constraintFor(model.requireTokenizer(), format, "format");
}

describe.each(models)("$title", ({ model }) => {
  test(`writes what ${effort.schemas} random schemas allow, whole, within max_tokens`, async () => {
    const ajv = new Ajv2020({ strict: false, formats: FORMAT_CHECKS });
    for (let seed = 0; seed < effort.schemas; seed++) {
      const schema = randomSchema(seed);
      const constraint = constraintOf(model, { type: "json_schema", schema });
      const maxTokens = constraint.fewestTokens + randomSource(seed + 1_000_000).below(64);
      const written = await write(model, { maxTokens, sampling: { seed }, constraint });
      const about = JSON.stringify({ seed, schema, text: written.text });
      const valid = ajv.compile(schema);
      expect(valid(JSON.parse(written.text)), `${about} ${ajv.errorsText(valid.errors)}`).toBe(true);
      expect([written.finishReason, written.completionTokens <= maxTokens], about).toEqual(["stop", true]);
    }
  }, 600_000);

  test("closes an object of any kind, also within the two tokens that the shortest takes", async () => {
    const constraint = constraintOf(model, { type: "json_object" });
    for (let maxTokens = constraint.fewestTokens; maxTokens < 40; maxTokens++) {
      const { text, finishReason } = await write(model, { maxTokens, sampling: { seed: maxTokens }, constraint });
      expect(JSON.parse(text), text).toBeTypeOf("object");
      expect(finishReason).toBe("stop");
    }
  });

  test("closes in exactly the fewest tokens, which may be fewer than bytes", async () => {
    const schema = {
      type: "object",
      properties: { "once upon a time": { const: "there was a king" } },
      required: ["once upon a time"],
    };
    const constraint = constraintOf(model, { type: "json_schema", schema });
    expect(constraint.fewestTokens).toBeLessThan(model === builtIn ? 20 : 50);
    const { text, completionTokens } = await write(model, { maxTokens: constraint.fewestTokens, constraint });
    expect(text).toBe('{"once upon a time":"there was a king"}');
    expect(completionTokens).toBe(constraint.fewestTokens);
    await expect(write(model, { maxTokens: constraint.fewestTokens - 1, constraint })).rejects.toThrow(
      `max_tokens is ${constraint.fewestTokens - 1}: the shortest text that format allows takes ${constraint.fewestTokens} tokens; ask for that many or more`,
    );
  });

  test("sequences that write at the same time do not disturb each other, whatever was written before", async () => {
    const schema = { type: "array", items: { type: "string", maxLength: 9 }, minItems: 2, maxItems: 4 };
    const runs = (constraint = constraintOf(model, { type: "json_schema", schema })) =>
      Array.from({ length: 4 }, (_, seed) => write(model, { sampling: { seed }, constraint }));
    const alone = [];
    for (const run of runs()) alone.push((await run).ids);
    expect((await Promise.all(runs())).map((w) => w.ids)).toEqual(alone);
  });
});

describe("with the other options", () => {
  const schema = { type: "string", minLength: 20 };
  const constraint = constraintOf(random, { type: "json_schema", schema });

  test("a stop string still ends the text, and log-probabilities are the model's own", async () => {
    const whole = await write(random, { constraint, logprobs: 3 });
    const stop = whole.text.slice(8, 10);
    const cut = await write(random, { constraint, stop: [stop] });
    expect([cut.finishReason, cut.text]).toEqual(["stop", whole.text.slice(0, whole.text.indexOf(stop))]);
    const free = await write(random, { maxTokens: 1, logprobs: 3 });
    // The quotation mark is the only token allowed, and what the model thinks of it does not change.
    expect(whole.tokens[0]!.top).toEqual(free.tokens[0]!.top);
    expect(whole.tokens[0]!.logprob).toBeLessThan(0);
  });

  test.each([
    { temperature: 0 },
    { topK: 1 },
    { topK: 5, topP: 0.5 },
    { minP: 0.5 },
    { typicalP: 0.3 },
    { repetitionPenalty: 2, frequencyPenalty: 2 },
    { logitBias: new Map([[1 + "x".charCodeAt(0), 100]]) },
    { temperature: 2 },
  ])("%j", async (sampling) => {
    const { text } = await write(random, { constraint, sampling: { seed: 4, ...sampling } });
    expect([...JSON.parse(text)].length).toBeGreaterThanOrEqual(20);
  });

  test("where the text may end or go on, the end-of-text token ends it", async () => {
    const digits = constraintOf(random, { type: "grammar", grammar: "root ::= [0-9]+" });
    const toEnd = await write(random, { constraint: digits, sampling: { seed: 1, logitBias: new Map([[0, 100]]) } });
    expect(toEnd.text).toMatch(/^\d$/);
    expect([toEnd.finishReason, toEnd.completionTokens]).toEqual(["stop", 2]);
    const toLimit = await write(random, {
      constraint: digits,
      maxTokens: 9,
      sampling: { seed: 1, logitBias: new Map([[0, -100]]) },
    });
    expect(toLimit.text).toMatch(/^\d{9}$/);
    expect(toLimit.finishReason).toBe("stop");
  });
});

describe("what cannot be promised is refused", () => {
  const loop = {
    $defs: { a: { type: "object", properties: { a: { $ref: "#/$defs/a" } }, required: ["a"] } },
    $ref: "#/$defs/a",
  };
  test.each([
    [
      { type: "json_schema", schema: loop },
      "format allows no text that ends: give it a way out of what repeats or refers to itself",
    ],
    [
      { type: "grammar", grammar: 'root ::= root "a" | "a"' },
      'format: the rule "root" begins with itself: put something in front',
    ],
    [{ type: "grammar", grammar: 'root ::= ""' }, "format allows only the empty text: leave it out"],
    [
      { type: "json_schema", schema: { type: "array", minItems: 1_000_000 } },
      "format allows no text of fewer than 2000001 bytes: it must allow one of at most 65536",
    ],
  ] as const)("%j", (format, message) => {
    expect(() => constraintOf(random, format)).toThrow(new ParameterError(message, "format"));
  });
});
