import { bytes, choice, literal, type Node, optional, repeat, rule, sequence } from "./grammar.ts";
import { type CodeRange, characters, complement } from "./utf8-ranges.ts";

/*
 * JSON as RFC 8259 has it, with these limits: between tokens at most one space, after a comma or a colon, because models that may write
 * spaces may never stop; numbers of at most 15 digits, which are exact in double precision.
 */

const space = optional(literal(" "));
export const COMMA = sequence(literal(","), space);
export const COLON = sequence(literal(":"), space);

const digit = bytes([0x30, 0x39]);
const hex = bytes([0x30, 0x39], [0x61, 0x66], [0x41, 0x46]);
/** Halves of surrogate pairs, D800 to DFFF, are left out: an emoji is written as it is. */
const escaped = sequence(
  literal("\\"),
  choice(
    bytes(...[...'"\\/bfnrt'].map((c): [number, number] => [c.charCodeAt(0), c.charCodeAt(0)])),
    sequence(
      literal("u"),
      choice(
        sequence(bytes([0x30, 0x39], [0x61, 0x63], [0x65, 0x66], [0x41, 0x43], [0x45, 0x46]), repeat(hex, 3, 3)),
        sequence(bytes([0x64, 0x64], [0x44, 0x44]), bytes([0x30, 0x37]), repeat(hex, 2, 2)),
      ),
    ),
  ),
);
/** Characters that stand for themselves in a string. */
export const PLAIN: readonly CodeRange[] = complement([
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
]);
const character = choice(characters(PLAIN), escaped);
const quote = literal('"');

/** A string of so many characters (code points). */
export function string(min = 0, max = Number.POSITIVE_INFINITY): Node {
  return quoted(repeat(character, min, max));
}

export function quoted(content: Node): Node {
  return sequence(quote, content, quote);
}

const whole = choice(literal("0"), sequence(bytes([0x31, 0x39]), repeat(digit, 0, 14)));
export const INTEGER = sequence(optional(literal("-")), whole);
export const NUMBER = sequence(
  INTEGER,
  optional(sequence(literal("."), repeat(digit, 1, 15))),
  optional(
    sequence(bytes([0x65, 0x65], [0x45, 0x45]), optional(bytes([0x2b, 0x2b], [0x2d, 0x2d])), repeat(digit, 1, 2)),
  ),
);
export const BOOLEAN = choice(literal("true"), literal("false"));
export const NULL = literal("null");

const value = rule("value");
/** Any object. */
export const OBJECT = object(sequence(string(), COLON, value));
/** Any array. */
export const ARRAY = list(value);
value.body = choice(OBJECT, ARRAY, string(), NUMBER, BOOLEAN, NULL);
/** Any value. */
export const VALUE: Node = value;

/** An object of any number of members. */
export function object(member: Node): Node {
  return sequence(literal("{"), optional(sequence(member, repeat(sequence(COMMA, member)))), literal("}"));
}

/** An array of values: the first ones as given, then more of one kind. */
export function list(
  item: Node | undefined,
  min = 0,
  max = Number.POSITIVE_INFINITY,
  first: readonly Node[] = [],
): Node {
  const more = item === undefined ? 0 : max - first.length;
  const least = Math.max(0, min - first.length);
  const parts = first.flatMap((part, i) => (i === 0 ? [part] : [COMMA, part]));
  if (item !== undefined && more > 0) {
    if (first.length > 0) parts.push(repeat(sequence(COMMA, item), least, more));
    else {
      const items = sequence(item, repeat(sequence(COMMA, item), Math.max(0, least - 1), more - 1));
      parts.push(least === 0 ? optional(items) : items);
    }
  }
  return sequence(literal("["), ...parts, literal("]"));
}

/** A given value, as JSON.stringify writes it. */
export function exactly(json: unknown): Node {
  return literal(JSON.stringify(json));
}

/** A string that is none of these names, without escapes, so that no name can hide behind one. */
export function otherKey(names: readonly string[]): Node {
  const after = (spelled: readonly string[][], depth: number): Node => {
    const nexts = new Map<string, string[][]>();
    for (const name of spelled) {
      const c = name[depth];
      if (c === undefined) continue;
      const same = nexts.get(c) ?? [];
      same.push(name);
      nexts.set(c, same);
    }
    const ends = !spelled.some((name) => name.length === depth);
    const codes = [...nexts.keys()].map((c): CodeRange => [c.codePointAt(0)!, c.codePointAt(0)!]);
    const excluded: CodeRange[] = [...codes, [0, 0x1f], [0x22, 0x22], [0x5c, 0x5c]];
    const options: Node[] = [
      sequence(characters(complement(excluded)), repeat(characters(PLAIN))),
      ...[...nexts]
        .filter(([c]) => c >= " " && c !== '"' && c !== "\\")
        .map(([c, rest]) => sequence(literal(c), after(rest, depth + 1))),
    ];
    return ends ? optional(choice(...options)) : choice(...options);
  };
  return quoted(
    after(
      names.map((name) => [...name]),
      0,
    ),
  );
}
