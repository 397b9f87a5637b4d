import { ParameterError } from "../errors.ts";
import { choice, type Node, type Rule, rule } from "./grammar.ts";
import * as json from "./json-grammar.ts";
import { fault, join } from "./schema-fault.ts";
import { arrayOf, type Below, numberOf, objectOf, stringOf } from "./schema-types.ts";
import { areDisjoint, isRecord, type Schema, valuesOf } from "./schema-values.ts";

/** Levels of objects and lists in a schema, and characters of it as JSON. */
const MOST_DEPTH = 128;
const MOST_CHARACTERS = 65_536;

/** Keywords that say something about values without forbidding any. */
const ANNOTATIONS = new Set(
  "$anchor $comment $defs $id $schema contentEncoding contentMediaType default definitions deprecated description discriminator examples readOnly title writeOnly".split(
    " ",
  ),
);

const KEYWORDS = {
  string: ["minLength", "maxLength", "pattern", "format"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
  boolean: [],
  null: [],
  array: ["items", "prefixItems", "minItems", "maxItems", "uniqueItems"],
  object: ["properties", "required", "additionalProperties"],
} as const;
type TypeName = keyof typeof KEYWORDS;
const TYPES = Object.keys(KEYWORDS) as TypeName[];
/** They forbid nothing that is not of their type. */
const TYPED = new Map<string, TypeName>(
  TYPES.flatMap((type) => KEYWORDS[type].map((keyword) => [keyword, type] as const)),
);

/**
 * A JSON Schema (draft 2020-12, and "definitions") as a grammar whose every text is JSON that the schema allows. It may allow more: the
 * properties come in the schema's order, and where additionalProperties is not given, an object with properties has no others.
 *
 * @param param the request's field that holds the schema, for messages
 * @throws ParameterError naming the keyword and its path, for one that is malformed, or could forbid a value and is not supported
 */
export function schemaGrammar(schema: unknown, param: string): Node {
  return new Compiler(schema, param).grammar();
}

class Compiler {
  readonly #root: unknown;
  readonly #param: string;
  readonly #rules = new Map<string, Rule>();
  /** pointers whose rules have no body yet. */
  readonly #waiting: string[] = [];

  constructor(root: unknown, param: string) {
    this.#root = root;
    this.#param = param;
  }

  grammar(): Node {
    checkSchemaSize(this.#root, this.#param);
    const root = this.#reference("#", this.#param);
    for (let pointer = this.#waiting.pop(); pointer !== undefined; pointer = this.#waiting.pop()) {
      this.#rules.get(pointer)!.body = this.#compile(this.#find(pointer, ""), `${this.#param}${pathOf(pointer)}`);
    }
    return root;
  }

  /** One rule for each place that is referred to, so that a schema may refer to itself. */
  #reference(pointer: string, path: string): Rule {
    const known = this.#rules.get(pointer);
    if (known !== undefined) return known;
    this.#find(pointer, path);
    const made = rule(pointer);
    this.#rules.set(pointer, made);
    this.#waiting.push(pointer);
    return made;
  }

  #find(pointer: string, path: string): unknown {
    const parts = pointer.split("/").slice(1).map(unescapePointer);
    const found = parts.reduce<unknown>(
      (at, key) => (isRecord(at) || Array.isArray(at) ? own(at, key) : undefined),
      this.#root,
    );
    if (!/^#(\/|$)/.test(pointer)) {
      throw new ParameterError(
        `${path}.$ref is ${JSON.stringify(pointer)}: it must point into the schema itself, as "#/$defs/name"`,
        `${path}.$ref`,
      );
    }
    if (found !== undefined) return found;
    throw new ParameterError(
      `${path}.$ref is ${JSON.stringify(pointer)}: there is nothing there in the schema`,
      `${path}.$ref`,
    );
  }

  #compile(schema: unknown, path: string): Node {
    if (schema === true) return json.VALUE;
    if (!isRecord(schema)) throw fault(path, "", "not a schema: it must be an object, or true");
    const keywords = Object.keys(schema).filter((key) => !ANNOTATIONS.has(key));
    const below = (part: unknown, ...keys: (string | number)[]): Node => this.#compile(part, join(path, ...keys));

    for (const combined of ["$ref", "anyOf", "oneOf", "allOf"]) {
      if (!(combined in schema)) continue;
      const other = keywords.find((key) => key !== combined && key !== "type");
      if (other !== undefined)
        throw fault(path, other, `not supported beside ${combined}: put it into what ${combined} holds`);
      if ("type" in schema)
        throw fault(path, "type", `not supported beside ${combined}: put it into what ${combined} holds`);
    }
    if ("$ref" in schema) {
      if (typeof schema.$ref !== "string") throw fault(path, "$ref", "not a text");
      return this.#reference(schema.$ref, path);
    }
    if ("anyOf" in schema) {
      return choice(...this.#schemas(schema, path, "anyOf").map((option, i) => below(option, "anyOf", i)));
    }
    if ("oneOf" in schema) {
      const options = this.#schemas(schema, path, "oneOf");
      const resolve = (option: unknown): unknown =>
        isRecord(option) && typeof option.$ref === "string" ? this.#find(option.$ref, path) : option;
      if (!areDisjoint(options, resolve)) {
        throw fault(
          path,
          "oneOf",
          "supported only where no value can fit two of its schemas, by their types, or by a const in a required property: use anyOf",
        );
      }
      return choice(...options.map((option, i) => below(option, "oneOf", i)));
    }
    if ("allOf" in schema) {
      const [only, ...more] = this.#schemas(schema, path, "allOf");
      if (more.length > 0) throw fault(path, "allOf", "supported only with one schema: write them as one");
      return below(only, "allOf", 0);
    }
    return this.#typed(schema, keywords, path, below);
  }

  #schemas(schema: Schema, path: string, keyword: string): unknown[] {
    const value = schema[keyword];
    if (!Array.isArray(value) || value.length === 0) throw fault(path, keyword, "not a list of at least one schema");
    return value;
  }

  #typed(schema: Schema, keywords: readonly string[], path: string, below: Below): Node {
    const types = this.#types(schema, keywords, path);
    const values = valuesOf(schema);
    for (const keyword of keywords) {
      if (["type", "enum", "const"].includes(keyword)) continue;
      const type = TYPED.get(keyword);
      if (type === undefined) throw fault(path, keyword, "not supported: leave it out, and check the reply yourself");
      const applies = types.includes(type) || (type === "integer" && types.includes("number"));
      if (values !== undefined && applies)
        throw fault(path, keyword, "not supported beside enum or const: leave out the values that it forbids");
    }
    if (values !== undefined) {
      if (values.length === 0 || ("enum" in schema && !Array.isArray(schema.enum)))
        throw fault(path, "enum", "not a list of at least one value");
      const fitting = "type" in schema ? values.filter((value) => types.some((type) => isOf(type, value))) : values;
      if (fitting.length === 0) throw fault(path, "type", "the type of none of its values");
      return choice(...fitting.map(json.exactly));
    }
    const distinct = types.includes("number") ? types.filter((type) => type !== "integer") : types;
    if (distinct.length === TYPES.length - 1 && keywords.length === 0) return json.VALUE;
    return choice(...distinct.map((type) => this.#ofType(type, schema, path, below)));
  }

  /** Where no type is given but keywords of one, values of that one are written: the schema allows the others as well. */
  #types(schema: Schema, keywords: readonly string[], path: string): TypeName[] {
    if (!("type" in schema)) {
      const implied = TYPES.filter(
        (type) => type !== "integer" && keywords.some((key) => (KEYWORDS[type] as readonly string[]).includes(key)),
      );
      return implied.length > 0 ? implied : TYPES;
    }
    const types: unknown[] = Array.isArray(schema.type) ? schema.type : [schema.type];
    const wrong = types.find((type) => !TYPES.includes(type as TypeName));
    if (wrong !== undefined || types.length === 0)
      throw fault(
        path,
        "type",
        `${JSON.stringify(schema.type)}: it must be one of ${TYPES.join(", ")}, or a list of these`,
      );
    return [...new Set(types as TypeName[])];
  }

  #ofType(type: TypeName, schema: Schema, path: string, below: Below): Node {
    switch (type) {
      case "boolean":
        return json.BOOLEAN;
      case "null":
        return json.NULL;
      case "string":
        return stringOf(schema, path);
      case "integer":
      case "number":
        return numberOf(schema, path, type === "integer");
      case "array":
        return arrayOf(schema, path, below);
      case "object":
        return objectOf(schema, path, below);
    }
  }
}

/** @throws ParameterError on a schema that would take long to read; nothing here is recursive before */
export function checkSchemaSize(schema: unknown, param: string): void {
  let level: unknown[] = [schema];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MOST_DEPTH) throw fault(param, "", `nested more than ${MOST_DEPTH} levels deep: use $ref and $defs`);
    level = level.flatMap((value) => (typeof value === "object" && value !== null ? Object.values(value) : []));
  }
  const { length } = JSON.stringify(schema) ?? "";
  if (length > MOST_CHARACTERS)
    throw fault(param, "", `${length} characters long: at most ${MOST_CHARACTERS} are read`);
}

function isOf(type: TypeName, value: unknown): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isRecord(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}

function pathOf(pointer: string): string {
  const keys = pointer.split("/").slice(1).map(unescapePointer);
  return keys.map((key) => (/^\d+$/.test(key) ? `[${key}]` : `.${key}`)).join("");
}

function unescapePointer(part: string): string {
  let decoded = part;
  try {
    decoded = decodeURIComponent(part);
  } catch {
    // It was not encoded.
  }
  return decoded.replaceAll("~1", "/").replaceAll("~0", "~");
}

function own(value: object, key: string): unknown {
  return Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}
