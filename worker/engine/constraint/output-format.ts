import type { TextTokenizer } from "../tokenizer.ts";
import { Constraint } from "./constraint.ts";
import { gbnfGrammar } from "./gbnf.ts";
import type { Node } from "./grammar.ts";
import { OBJECT } from "./json-grammar.ts";
import { checkSchemaSize, schemaGrammar } from "./json-schema.ts";
import { trieOf } from "./token-trie.ts";

/** The format that a text must have. */
export type OutputFormat =
  | { readonly type: "json_object" }
  | { readonly type: "json_schema"; readonly schema: unknown }
  /** in GBNF, see gbnf.ts. */
  | { readonly type: "grammar"; readonly grammar: string };

/** Formats of a vocabulary that stay ready for the next request. */
const MOST_KEPT = 8;
const kept = new WeakMap<TextTokenizer, Map<string, Constraint>>();

/**
 * A format on a vocabulary, ready to begin texts (GenerationOptions.constraint). Equal formats share one, with all that it has learned.
 *
 * @param param the request's field that the format comes from, such as "response_format.json_schema.schema"
 * @throws ParameterError naming what in it is wrong or not supported, ModelError when the tokenizer cannot write every text
 * @example
 * const constraint = constraintFor(model.requireTokenizer(), { type: "json_schema", schema }, "text.format.schema");
 * generate(sequence, { prompt, maxTokens, sampling, constraint });
 */
export function constraintFor(tokenizer: TextTokenizer, format: OutputFormat, param: string): Constraint {
  if (format.type === "json_schema") checkSchemaSize(format.schema, param);
  const key = JSON.stringify([format, param]);
  const formats = kept.get(tokenizer) ?? new Map<string, Constraint>();
  kept.set(tokenizer, formats);
  const constraint = formats.get(key) ?? new Constraint(grammarOf(format, param), trieOf(tokenizer), param);
  // The one used last goes last.
  formats.delete(key);
  formats.set(key, constraint);
  for (const oldest of formats.keys()) {
    if (formats.size <= MOST_KEPT) break;
    formats.delete(oldest);
  }
  return constraint;
}

function grammarOf(format: OutputFormat, param: string): Node {
  switch (format.type) {
    case "json_object":
      return OBJECT;
    case "json_schema":
      return schemaGrammar(format.schema, param);
    case "grammar":
      return gbnfGrammar(format.grammar, param);
  }
}
