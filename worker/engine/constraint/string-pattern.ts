import { ParameterError } from "../errors.ts";
import { choice, literal, type Node, repeat, sequence } from "./grammar.ts";
import { PLAIN } from "./json-grammar.ts";
import { type CodeRange, characters, complement, intersection } from "./utf8-ranges.ts";

/** Formats of strings, as patterns whose every text has the format; a month has 28 days in them. */
export const FORMATS: ReadonlyMap<string, string> = formats();

function formats(): Map<string, string> {
  const date = "\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])";
  const time = "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)";
  const label = "[a-z0-9]{1,15}(-[a-z0-9]{1,15}){0,3}";
  const byte = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
  const minutes = "\\d{1,3}M(\\d{1,3}S)?";
  const span = `(\\d{1,3}H(${minutes})?|${minutes}|\\d{1,3}S)`;
  return new Map([
    ["date", `^${date}$`],
    ["time", `^${time}$`],
    ["date-time", `^${date}T${time}$`],
    ["duration", `^P(\\d{1,3}W|\\d{1,3}D(T${span})?|T${span})$`],
    ["email", `^[a-z0-9]{1,15}([._-][a-z0-9]{1,15}){0,2}@${label}\\.[a-z]{2,12}$`],
    ["hostname", `^${label}(\\.${label}){0,2}$`],
    ["ipv4", `^${byte}(\\.${byte}){3}$`],
    ["ipv6", "^[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}$"],
    ["uri", `^https?://(${label}\\.){1,2}[a-z]{2,12}(/[A-Za-z0-9._~-]{0,30}){0,5}$`],
    ["uuid", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"],
  ]);
}

const DIGIT: readonly CodeRange[] = [[0x30, 0x39]];
const WORD: readonly CodeRange[] = [...DIGIT, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]];
const SPACE: readonly CodeRange[] = [
  ...[..."\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"].map(one),
  [0x2000, 0x200a],
];
const CLASSES = new Map<string, readonly CodeRange[]>([
  ["d", DIGIT],
  ["D", complement(DIGIT)],
  ["w", WORD],
  ["W", complement(WORD)],
  ["s", SPACE],
  ["S", complement(SPACE)],
]);
const DOT = complement([..."\n\r\u2028\u2029"].map(one));
const SHORT_ESCAPES = new Map([
  ["\b", "\\b"],
  ["\f", "\\f"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
  ['"', '\\"'],
  ["\\", "\\\\"],
]);
const CONTROL_ESCAPES = new Map([
  ["t", 9],
  ["n", 10],
  ["v", 11],
  ["f", 12],
  ["r", 13],
  ["0", 0],
]);
const MOST_TURNS = 1000;
const MOST_GROUPS = 32;

function one(character: string): CodeRange {
  return [character.codePointAt(0)!, character.codePointAt(0)!];
}

/**
 * The content of a JSON string that matches a pattern of JSON Schema, which is a JavaScript regular expression with the flag u that may
 * match anywhere in the text.
 * @param param of the pattern, for messages
 * @throws ParameterError on what is no regular expression, and on what an automaton cannot follow: look-around, back references, word
 *   boundaries, properties of characters, ^ and $ inside of it
 */
export function patternContent(pattern: string, param: string): Node {
  try {
    new RegExp(pattern, "u");
  } catch (error) {
    throw new ParameterError(`${param} is ${JSON.stringify(pattern)}: ${(error as Error).message}`, param);
  }
  return new PatternReader(pattern, param).read();
}

/** Reads a pattern that RegExp has read without complaint. */
class PatternReader {
  readonly #characters: readonly string[];
  readonly #pattern: string;
  readonly #param: string;
  #at = 0;
  #groups = 0;

  constructor(pattern: string, param: string) {
    this.#pattern = pattern;
    this.#characters = [...pattern];
    this.#param = param;
  }

  read(): Node {
    return this.#alternatives(true);
  }

  #alternatives(outermost: boolean): Node {
    const options: Node[] = [];
    do {
      const parts: Node[] = [];
      if (outermost && !this.#take("^")) parts.push(repeat(text([[0, 0x10ffff]])));
      let anchored = false;
      for (let next = this.#next; next !== undefined && next !== "|" && next !== ")"; next = this.#next) {
        anchored = outermost && next === "$" && [undefined, "|"].includes(this.#characters[this.#at + 1]);
        if (anchored) this.#at++;
        else parts.push(this.#quantified(this.#atom()));
      }
      if (outermost && !anchored) parts.push(repeat(text([[0, 0x10ffff]])));
      options.push(sequence(...parts));
    } while (this.#take("|"));
    return choice(...options);
  }

  #quantified(part: Node): Node {
    const [min, max] = this.#turns();
    if (Math.max(min, max === Number.POSITIVE_INFINITY ? 0 : max) > MOST_TURNS) {
      throw this.#unsupported(`more than ${MOST_TURNS} turns`);
    }
    // What is taken first, the most or the least, does not change what matches.
    if (min !== 1 || max !== 1) this.#take("?");
    return repeat(part, min, max);
  }

  #turns(): [min: number, max: number] {
    if (this.#take("*")) return [0, Number.POSITIVE_INFINITY];
    if (this.#take("+")) return [1, Number.POSITIVE_INFINITY];
    if (this.#take("?")) return [0, 1];
    if (!this.#take("{")) return [1, 1];
    const [min = "", max = min] = this.#until("}").split(",") as [string, string?];
    return [Number(min), max === "" ? Number.POSITIVE_INFINITY : Number(max)];
  }

  #atom(): Node {
    const character = this.#characters[this.#at++]!;
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        return text(this.#class());
      case ".":
        return text(DOT);
      case "\\":
        return text(this.#escape(false));
      case "^":
      case "$":
        throw this.#unsupported(`${character} inside`);
      default:
        return text([one(character)]);
    }
  }

  #group(): Node {
    if (++this.#groups > MOST_GROUPS) throw this.#unsupported(`more than ${MOST_GROUPS} groups`);
    if (this.#take("?")) {
      const kind = this.#characters[this.#at++]!;
      if (kind === "<" && !["=", "!"].includes(this.#next!)) this.#until(">");
      else if (kind !== ":") throw this.#unsupported(`(?${kind}`);
    }
    const inside = this.#alternatives(false);
    this.#at++;
    return inside;
  }

  #class(): readonly CodeRange[] {
    const negated = this.#take("^");
    const ranges: CodeRange[] = [];
    while (!this.#take("]")) {
      const first = this.#member();
      const [begin] = first;
      const last =
        this.#next === "-" && this.#characters[this.#at + 1] !== "]" && this.#take("-") ? this.#member() : first;
      if (last === first) ranges.push(...first);
      else ranges.push([begin![0], last[0]![1]]);
    }
    return negated ? complement(ranges) : ranges;
  }

  #member(): readonly CodeRange[] {
    const character = this.#characters[this.#at++]!;
    return character === "\\" ? this.#escape(true) : [one(character)];
  }

  #escape(inClass: boolean): readonly CodeRange[] {
    const letter = this.#characters[this.#at++]!;
    const set = CLASSES.get(letter);
    if (set !== undefined) return set;
    const control = inClass && letter === "b" ? 8 : CONTROL_ESCAPES.get(letter);
    if (control !== undefined) return [[control, control]];
    if (letter === "x") return this.#code(this.#digits(2));
    if (letter === "u") return this.#code(this.#take("{") ? this.#until("}") : this.#digits(4));
    if (/[A-Za-z1-9]/.test(letter)) throw this.#unsupported(`\\${letter}`);
    return [one(letter)];
  }

  #code(hex: string): readonly CodeRange[] {
    const code = Number.parseInt(hex, 16);
    if (code >= 0xd800 && code <= 0xdfff) throw this.#unsupported("half of a surrogate pair");
    return [[code, code]];
  }

  #digits(count: number): string {
    this.#at += count;
    return this.#characters.slice(this.#at - count, this.#at).join("");
  }

  /** What stands before a character, which is taken too. */
  #until(end: string): string {
    const from = this.#at;
    this.#at = this.#characters.indexOf(end, from) + 1;
    return this.#characters.slice(from, this.#at - 1).join("");
  }

  get #next(): string | undefined {
    return this.#characters[this.#at];
  }

  #take(character: string): boolean {
    const found = this.#next === character;
    if (found) this.#at++;
    return found;
  }

  #unsupported(what: string): ParameterError {
    return new ParameterError(
      `${this.#param} is ${JSON.stringify(this.#pattern)}: ${what} is not supported in a pattern, write it without`,
      this.#param,
    );
  }
}

/** One character out of ranges as it stands in a JSON string, escaped where it must be. */
function text(ranges: readonly CodeRange[]): Node {
  const escaped = ranges
    .flatMap(([first, last]) =>
      Array.from({ length: Math.max(0, Math.min(last, 0x5c) - first + 1) }, (_, i) => first + i),
    )
    .map((code) => String.fromCodePoint(code))
    .filter((c) => c < " " || c === '"' || c === "\\")
    .map((c) => literal(SHORT_ESCAPES.get(c) ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`));
  const plain = intersection(ranges, PLAIN);
  return choice(...(plain.length > 0 ? [characters(plain)] : []), ...escaped);
}
