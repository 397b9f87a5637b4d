import { FORMATS } from "../../../worker/engine/constraint/string-pattern.ts";
import { draw } from "../../../worker/engine/random.ts";

/** Draws one after another, the same ones for a seed. */
export function randomSource(seed: number) {
  let drawn = 0;
  const below = (n: number): number => Math.floor(draw(seed, drawn++) * n);
  return { below, chance: (p: number): boolean => below(1000) < 1000 * p };
}

const NAMES = ["name", "age", "tags", "id", "a", "ab", "größe", 'q"u', "back\\slash", "emoji 🦊", "note", "in stock"];
const VALUES: unknown[] = [
  "red",
  "green",
  "red hot",
  'a "quote"',
  "日本",
  0,
  -1.5,
  42,
  true,
  null,
  [1, "x"],
  { k: [] },
];
const PATTERNS = ["^[A-Z]{2}-\\d{3}$", "^(ab|cd)+x?$", "b.d", "^[^a-y]{0,3}$", "é$", "^a\\.b\\\\c\\t$"];

/** A random schema of what is supported, nested at most so many levels; `defs` are rules that it may refer to. */
export function randomSchema(seed: number, depth = 4): Record<string, unknown> {
  const { below, chance } = randomSource(seed);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;

  const schema = (levels: number): Record<string, unknown> => {
    const kinds = ["string", "integer", "number", "boolean", "null", "enum", "const", "text", "ref"];
    const nested = ["object", "object", "object", "array", "array", "anyOf", "map"];
    switch (pick(levels > 0 ? [...kinds, ...nested, ...nested] : kinds)) {
      case "object":
        return object(levels);
      case "map":
        return { type: "object", additionalProperties: chance(0.3) || schema(levels - 1) };
      case "array":
        return array(levels);
      case "anyOf":
        return { anyOf: Array.from({ length: 1 + below(3) }, () => schema(levels - 1)) };
      case "enum":
        return { enum: Array.from({ length: 1 + below(5) }, () => pick(VALUES)) };
      case "const":
        return { const: pick(VALUES), title: "as it is" };
      case "string": {
        const minLength = below(6);
        return {
          type: "string",
          ...(chance(0.5) && { minLength }),
          ...(chance(0.5) && { maxLength: minLength + below(12) }),
        };
      }
      case "text":
        return chance(0.5)
          ? { type: "string", pattern: pick(PATTERNS) }
          : { type: "string", format: pick([...FORMATS.keys()]) };
      case "integer":
        return { type: "integer", ...bounds(0) };
      case "number":
        return { type: "number", ...bounds(below(4)) };
      case "ref":
        return { $ref: chance(0.7) ? "#/$defs/leaf" : "#/$defs/tree" };
      case "null":
        return { type: ["null", "boolean"] };
      default:
        return { type: "boolean", description: "yes or no" };
    }
  };
  const bounds = (digits: number): Record<string, number> => {
    const at = Number(((below(4000) - 2000) / 10 ** digits).toFixed(digits));
    const span = below(2000) / 10 ** digits;
    return {
      ...(chance(0.5) && { [pick(["minimum", "exclusiveMinimum"])]: at }),
      ...(chance(0.5) && { [pick(["maximum", "exclusiveMaximum"])]: Number((at + span + 2).toFixed(digits)) }),
    };
  };
  const object = (levels: number): Record<string, unknown> => {
    const names = [...new Set(Array.from({ length: below(5) }, () => pick(NAMES)))];
    const required = names.filter(() => chance(0.5));
    return {
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, schema(levels - 1)])),
      ...(chance(0.9) && { required }),
      ...(chance(0.6) && { additionalProperties: chance(0.6) ? false : schema(0) }),
    };
  };
  const array = (levels: number): Record<string, unknown> => {
    const minItems = below(3);
    return {
      type: "array",
      items: schema(levels - 1),
      ...(chance(0.5) && { minItems }),
      ...(chance(0.6) && { maxItems: minItems + below(4) }),
    };
  };
  return {
    ...(chance(0.8) ? object(depth) : schema(depth)),
    $defs: {
      leaf: { type: "string", maxLength: 5 },
      tree: {
        type: "object",
        properties: { left: { $ref: "#/$defs/tree" }, leaf: { $ref: "#/$defs/leaf" } },
        required: ["leaf"],
      },
    },
  };
}
