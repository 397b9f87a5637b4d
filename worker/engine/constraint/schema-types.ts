import { choice, literal, type Node, optional, repeat, sequence } from "./grammar.ts";
import * as json from "./json-grammar.ts";
import { numbersWithin } from "./number-range.ts";
import { fault, join } from "./schema-fault.ts";
import { isRecord, type Schema } from "./schema-values.ts";
import { FORMATS, patternContent } from "./string-pattern.ts";

// What the keywords of each type say, as grammars. `path` is the schema's in the request, for messages.

const MOST_COUNT = 1_000_000;

/** The grammar of a schema below this one. */
export type Below = (part: unknown, ...keys: (string | number)[]) => Node;

export function stringOf(schema: Schema, path: string): Node {
  const [min, max] = counts(schema, path, "minLength", "maxLength");
  const { pattern, format } = schema;
  const set = ["pattern", "format", min > 0 ? "minLength" : "maxLength"].filter((keyword) => keyword in schema);
  if (pattern === undefined && format === undefined) return json.string(min, max);
  if (set.length > 1) throw fault(path, set[0]!, `not supported together with ${set[1]}: say both in one pattern`);
  if (pattern !== undefined) {
    if (typeof pattern !== "string") throw fault(path, "pattern", "not a text");
    return json.quoted(patternContent(pattern, join(path, "pattern")));
  }
  const known = typeof format === "string" ? FORMATS.get(format) : undefined;
  if (known === undefined)
    throw fault(path, "format", `${JSON.stringify(format)}: supported are ${[...FORMATS.keys()].join(", ")}`);
  return json.quoted(patternContent(known, join(path, "format")));
}

export function numberOf(schema: Schema, path: string, integers: boolean): Node {
  const bound = (keyword: string): number | undefined => {
    const value = schema[keyword];
    if (value === undefined || (typeof value === "number" && Number.isFinite(value))) return value;
    throw fault(path, keyword, `${JSON.stringify(value)}: it must be a number`);
  };
  const bounds = {
    minimum: bound("minimum"),
    maximum: bound("maximum"),
    exclusiveMinimum: bound("exclusiveMinimum"),
    exclusiveMaximum: bound("exclusiveMaximum"),
  };
  const step = bound("multipleOf");
  if (step !== undefined && (step !== 1 || !integers))
    throw fault(
      path,
      "multipleOf",
      "not supported, but for 1 of an integer: leave it out, and check the reply yourself",
    );
  const [keyword] = Object.entries(bounds).find(([, value]) => value !== undefined) ?? [];
  if (keyword === undefined) return integers ? json.INTEGER : json.NUMBER;
  const node = numbersWithin(bounds, integers);
  if (node === undefined) throw fault(path, keyword, "not supported with more than 15 digits: round the bounds");
  return node;
}

export function arrayOf(schema: Schema, path: string, below: Below): Node {
  const [min, max] = counts(schema, path, "minItems", "maxItems");
  const { items, prefixItems = [], uniqueItems = false } = schema;
  if (uniqueItems !== false)
    throw fault(path, "uniqueItems", "not supported: leave it out, and check the reply yourself");
  if (!Array.isArray(prefixItems)) throw fault(path, "prefixItems", "not a list of schemas");
  const first = prefixItems.slice(0, max).map((part, i) => below(part, "prefixItems", i));
  if (items === false && min > first.length)
    throw fault(path, "minItems", `${min}, but items is false and prefixItems has ${first.length}`);
  // What comes after the first ones need not be there, unless something is said about it.
  const closed = items === false || (items === undefined && first.length > 0 && min <= first.length);
  const item = closed ? undefined : items === undefined ? json.VALUE : below(items, "items");
  return json.list(item, min, max, first);
}

export function objectOf(schema: Schema, path: string, below: Below): Node {
  const { properties = {}, required = [], additionalProperties } = schema;
  if (!isRecord(properties)) throw fault(path, "properties", "not an object of schemas");
  if (!Array.isArray(required) || !required.every((name) => typeof name === "string"))
    throw fault(path, "required", "not a list of names");
  const names = Object.keys(properties);
  const undeclared = [...new Set(required as string[])].filter((name) => !names.includes(name));
  if (undeclared.length > 0 && additionalProperties === false) {
    throw fault(
      path,
      "required",
      `${JSON.stringify(undeclared[0])} is required, but not among the properties, and additionalProperties is false`,
    );
  }
  const any = additionalProperties === undefined || additionalProperties === false ? true : additionalProperties;
  const more =
    additionalProperties === undefined ? names.length === 0 && undeclared.length === 0 : additionalProperties !== false;
  const extra = more || undeclared.length > 0 ? below(any, "additionalProperties") : undefined;
  const members = [
    ...names.map((name) => ({
      member: sequence(json.exactly(name), json.COLON, below(properties[name], "properties", name)),
      needed: required.includes(name),
    })),
    ...undeclared.map((name) => ({ member: sequence(json.exactly(name), json.COLON, extra!), needed: true })),
  ];
  const others = more ? sequence(json.otherKey([...names, ...undeclared]), json.COLON, extra!) : undefined;
  return sequence(literal("{"), membersOf(members, others), literal("}"));
}

/** Members in their order, some of which may be left out, with commas only between those that are there. */
function membersOf(members: readonly { member: Node; needed: boolean }[], others: Node | undefined): Node {
  let after: Node = others === undefined ? sequence() : repeat(sequence(json.COMMA, others));
  // Of the rest of the members, when none was written so far.
  let first: Node = others === undefined ? sequence() : optional(sequence(others, after));
  for (const { member, needed } of members.toReversed()) {
    const taken = sequence(member, after);
    first = needed ? taken : choice(taken, first);
    const next = sequence(json.COMMA, member);
    after = sequence(needed ? next : optional(next), after);
  }
  return first;
}

function counts(schema: Schema, path: string, least: string, most: string): [min: number, max: number] {
  const read = (keyword: string, missing: number): number => {
    const value = schema[keyword] ?? missing;
    if (
      value === missing ||
      (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MOST_COUNT)
    )
      return value as number;
    throw fault(path, keyword, `${JSON.stringify(value)}: it must be an integer from 0 to ${MOST_COUNT}`);
  };
  const [min, max] = [read(least, 0), read(most, Number.POSITIVE_INFINITY)];
  if (min > max) throw fault(path, least, `${min}, more than ${most}, which is ${max}`);
  return [min, max];
}
