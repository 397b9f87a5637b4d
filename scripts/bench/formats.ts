import { Constraint } from "../../worker/engine/constraint/constraint.ts";
import { gbnfGrammar } from "../../worker/engine/constraint/gbnf.ts";
import type { Node } from "../../worker/engine/constraint/grammar.ts";
import { OBJECT } from "../../worker/engine/constraint/json-grammar.ts";
import { schemaGrammar } from "../../worker/engine/constraint/json-schema.ts";
import { trieOf } from "../../worker/engine/constraint/token-trie.ts";
import { Model } from "../../worker/engine/model.ts";
import { draw } from "../../worker/engine/random.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { openBackend } from "../lib/open-model.ts";
import type { Row } from "../lib/table.ts";
import { builtInSource } from "./built-in.ts";

const TEXTS = 20;
const MAX_TOKENS = 120;

const PERSON = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 1, maxLength: 40 },
    age: { type: "integer", minimum: 0, maximum: 120 },
    tags: { type: "array", items: { enum: ["brave", "clever", "kind"] }, maxItems: 4 },
    home: {
      anyOf: [{ type: "object", properties: { street: { type: "string" } }, required: ["street"] }, { type: "null" }],
    },
  },
  required: ["name", "age", "home"],
};

/** What a token's mask costs beside the token's pass through the built-in model, in texts of tokens drawn at random. */
export async function formats(): Promise<Row[]> {
  const model = await Model.load(builtInSource(), await openBackend("wasm"));
  const pass = await passSeconds(model);
  const made: [string, () => Node][] = [
    ["any object", () => OBJECT],
    ["JSON Schema, 4 properties", () => schemaGrammar(PERSON, "schema")],
    ["grammar", () => gbnfGrammar('root ::= sentence+\nsentence ::= [A-Z] [a-z ]{3,60} "." " "?', "grammar")],
  ];
  return made.map(([format, grammar]) => measure(format, grammar, model, pass));
}

function measure(format: string, grammar: () => Node, model: Model, pass: number): Row {
  const tokenizer = model.requireTokenizer();
  trieOf(tokenizer);
  const begin = performance.now();
  const constraint = new Constraint(grammar(), trieOf(tokenizer), "format");
  const prepared = performance.now() - begin;
  const seconds: number[][] = [];
  for (let seed = 0; seed < TEXTS; seed++) seconds.push(write(constraint, model, seed));
  const mean = (values: readonly number[]): number => values.reduce((sum, s) => sum + s, 0) / values.length;
  const [first, later] = [seconds[0]!, seconds.slice(TEXTS / 2).flat()];
  return {
    format,
    "prepare ms": prepared.toFixed(1),
    "mask ms a token, first text": (1000 * mean(first)).toFixed(3),
    "after ten texts": (1000 * mean(later)).toFixed(3),
    "longest ms": (1000 * Math.max(...seconds.flat())).toFixed(1),
    "pass ms a token": (1000 * pass).toFixed(2),
    "mask / pass": (mean(later) / pass).toFixed(3),
  };
}

/** Seconds of each mask of a text. */
function write(constraint: Constraint, model: Model, seed: number): number[] {
  const tokenizer = model.requireTokenizer();
  const run = constraint.begin(MAX_TOKENS);
  const seconds: number[] = [];
  for (let i = 0; i < MAX_TOKENS && !run.complete; i++) {
    const begin = performance.now();
    const mask = run.allowed(model.vocab);
    seconds.push((performance.now() - begin) / 1000);
    const tokens = Array.from({ length: model.vocab }, (_, t) => t).filter((t) => (mask[t >> 5]! >>> (t & 31)) & 1);
    const token = tokens[Math.floor(draw(seed, i) * tokens.length)]!;
    run.advance(token, tokenizer.bytes(token));
  }
  return seconds;
}

async function passSeconds(model: Model): Promise<number> {
  const sequence = new Sequence(model);
  const seconds: number[] = [];
  for (let i = 0; i < 60; i++) {
    const begin = performance.now();
    await sequence.feed([i + 1], { logits: true });
    seconds.push((performance.now() - begin) / 1000);
  }
  sequence.dispose();
  return seconds.sort((a, b) => a - b)[30]!;
}
