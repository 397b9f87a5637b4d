/** What openapi.json says of a value; the parts that are used here. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly example?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly anyOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly additionalProperties?: boolean | Schema;
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly prefixItems?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

/** A number from 0 to 1, the same sequence for the same seed (mulberry32). */
export type Random = () => number;

export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function pick<T>(random: Random, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!;
}

const TEXTS = [
  "",
  "a",
  "Once upon a time",
  "0",
  "null",
  "__proto__",
  "constructor",
  "\0\x01\x1f",
  "é日本\u{1F600}",
  "e\u0301\u200d\u202e\ufeff",
  "\ud800",
  "\udc00x",
  "<|endoftext|>",
  "../../etc/passwd",
  "%00%ff",
  "' OR 1=1 --",
  "x".repeat(3_000),
];
const NUMBERS = [0, -0, 1, -1, 2, 0.5, 1e-320, 256, 257, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53), 1e21, 1e300, Infinity];

/** Anything at all. */
export function anyValue(random: Random, depth = 0): unknown {
  const kind = Math.floor(random() * (depth > 3 ? 4 : 7));
  if (kind === 0) return pick(random, TEXTS);
  if (kind === 1) return pick(random, NUMBERS);
  if (kind === 2) return pick(random, [true, false, null]);
  if (kind === 3) return Math.floor(random() * 300);
  const length = Math.floor(random() * 4);
  if (kind === 4) return Array.from({ length }, () => anyValue(random, depth + 1));
  if (kind === 5)
    return Object.fromEntries(Array.from({ length }, () => [pick(random, TEXTS), anyValue(random, depth + 1)]));
  let deep: unknown = 1;
  for (let i = 0; i < 200; i++) deep = random() < 0.5 ? [deep] : { a: deep };
  return deep;
}

/** A value of the schema, but now and then something else. @param resolve of a $ref */
export function generate(schema: Schema, random: Random, resolve: (ref: string) => Schema): unknown {
  if (random() < 0.06) return anyValue(random);
  if (schema.$ref !== undefined) return generate(resolve(schema.$ref), random, resolve);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return pick(random, schema.enum);
  if (schema.example !== undefined && random() < 0.3) return schema.example;
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return generate(pick(random, choices), random, resolve);
  if (schema.allOf !== undefined) {
    return Object.assign({}, ...schema.allOf.map((part) => generate(part, random, resolve)));
  }
  const type = typeof schema.type === "string" ? schema.type : pick(random, schema.type ?? ["any"]);
  if (type === "null") return null;
  if (type === "boolean") return random() < 0.5;
  if (type === "string") return pick(random, TEXTS);
  if (type === "integer" || type === "number") {
    const { minimum = 0, maximum = 300 } = schema;
    const value = minimum + random() * (Math.min(maximum, minimum + 300) - minimum);
    return type === "integer" ? Math.floor(value) : value;
  }
  if (type === "array") {
    if (schema.prefixItems !== undefined) return schema.prefixItems.map((item) => generate(item, random, resolve));
    return Array.from({ length: Math.floor(random() * 6) }, () => generate(schema.items ?? {}, random, resolve));
  }
  if (type === "object") {
    const { properties = {}, required = [] } = schema;
    const names = Object.keys(properties).filter((name) => required.includes(name) || random() < 0.15);
    const fields = names.map((name) => [name, generate(properties[name]!, random, resolve)]);
    const others = schema.additionalProperties;
    for (let i = 0; typeof others === "object" && i < Math.floor(random() * 3); i++) {
      fields.push([
        random() < 0.7 ? `${Math.floor(random() * 300)}` : pick(random, TEXTS),
        generate(others, random, resolve),
      ]);
    }
    if (random() < 0.04) fields.push([pick(random, TEXTS), anyValue(random)]);
    return Object.fromEntries(fields);
  }
  return anyValue(random);
}

/** JSON of a value, and now and then what is none. Infinity goes as a number that is too large. */
export function bodyOf(value: unknown, random: Random): string {
  const text = JSON.stringify(value, (_, v) => (v === Infinity ? "\0inf" : v)).replaceAll('"\\u0000inf"', "1e999");
  const broken = random();
  if (broken < 0.03) return text.slice(0, Math.floor(random() * text.length));
  if (broken < 0.04) return "[".repeat(100_000) + "]".repeat(100_000);
  if (broken < 0.05) return `{"prompt":${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}}`;
  if (broken < 0.06) return `${text}${pick(random, [",", "}", "\0", "null"])}`;
  return text;
}
