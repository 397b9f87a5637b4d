import type { Constraint } from "../../engine/constraint/constraint.ts";
import { constraintFor, type OutputFormat } from "../../engine/constraint/output-format.ts";
import { ParameterError } from "../../engine/errors.ts";
import type { TextTokenizer } from "../../engine/tokenizer.ts";
import type { ResponseFormat } from "../client/api.ts";

const PARAM = "responseFormat";
const SCHEMA_PARAM = `${PARAM}.json_schema.schema`;
const KEYS = { text: [], json_object: [], json_schema: ["json_schema"] } as const satisfies Record<
  ResponseFormat["type"],
  string[]
>;
const NAMED = ["name", "schema", "strict", "description"];

/**
 * What the text must be; undefined for any.
 * @throws ParameterError as the edge refuses the same response_format
 */
export function outputFormat(format: ResponseFormat | undefined): OutputFormat | undefined {
  // Null is none, as of the other options and at the edge.
  if (format == null) return undefined;
  if (!isObject(format) || !Object.hasOwn(KEYS, format.type)) {
    const seen = isObject(format) ? JSON.stringify(format.type) : String(format);
    const types = Object.keys(KEYS).join('", "');
    throw wrong(isObject(format) ? `${PARAM}.type` : PARAM, seen, `an object whose type is one of "${types}"`);
  }
  checkKeys(PARAM, format, ["type", ...KEYS[format.type]]);
  if (format.type === "text") return undefined;
  if (format.type === "json_object") return { type: "json_object" };
  const named = format.json_schema;
  if (!isObject(named)) throw wrong(`${PARAM}.json_schema`, String(named), "an object such as {name, schema}");
  checkKeys(`${PARAM}.json_schema`, named, NAMED);
  const { name, strict, description } = named;
  const schema = named.schema ?? {};
  if (typeof name !== "string" || !/^[A-Za-z0-9_-]{1,64}$/.test(name)) {
    const seen = JSON.stringify(name) ?? "missing";
    throw wrong(`${PARAM}.json_schema.name`, seen, "a name of 1 to 64 letters, digits, _ or -");
  }
  // They change no text, and are checked as the edge does.
  if (strict != null && typeof strict !== "boolean") {
    throw wrong(`${PARAM}.json_schema.strict`, JSON.stringify(strict), "true or false");
  }
  if (description != null && typeof description !== "string") {
    throw wrong(`${PARAM}.json_schema.description`, JSON.stringify(description), "a text");
  }
  if (!isObject(schema)) throw wrong(SCHEMA_PARAM, JSON.stringify(schema), "a JSON Schema, an object");
  return { type: "json_schema", schema };
}

/** @throws ParameterError naming what in the format is wrong or not supported, ModelError when the tokenizer cannot write every text */
export function constraintOf(tokenizer: TextTokenizer, asked: ResponseFormat | undefined): Constraint | undefined {
  const format = outputFormat(asked);
  return format && constraintFor(tokenizer, format, format.type === "json_schema" ? SCHEMA_PARAM : PARAM);
}

function checkKeys(param: string, value: object, known: readonly string[]): void {
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  throw new ParameterError(`${param} has no field "${unknown}": there are ${known.join(", ")}`, `${param}.${unknown}`);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(param: string, seen: string, what: string): ParameterError {
  return new ParameterError(`${param} is ${seen}: it must be ${what}`, param);
}
