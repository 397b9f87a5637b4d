import { ParameterError } from "../errors.ts";
import { choice, literal, type Node, type Rule, repeat, rule, sequence } from "./grammar.ts";
import { type CodeRange, characters, complement } from "./utf8-ranges.ts";

const MOST_CHARACTERS = 65_536;
const MOST_NESTED = 64;
const MOST_TURNS = 1_000_000;
const ESCAPES = new Map([
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);
const HEX_DIGITS = new Map([
  ["x", 2],
  ["u", 4],
  ["U", 8],
]);

/**
 * A grammar in GBNF, the notation of llama.cpp (grammars/README.md there): rules `name ::= …`, of which "root" is the text; "literals",
 * [classes] of characters, ., (groups), |, and the repetitions *, +, ?, {n}, {n,} and {n,m}; # begins a comment.
 *
 * @param param the request's field that holds the grammar, for messages
 * @throws ParameterError with the line of the first mistake
 */
export function gbnfGrammar(source: string, param: string): Node {
  return new GbnfReader(source, param).read();
}

class GbnfReader {
  readonly #characters: readonly string[];
  readonly #param: string;
  readonly #rules = new Map<string, Rule>();
  /** those with a body, and the line that first names the others. */
  readonly #defined = new Set<string>();
  readonly #named = new Map<string, number>();
  #at = 0;

  constructor(source: string, param: string) {
    this.#characters = [...source];
    this.#param = param;
    if (source.length > MOST_CHARACTERS) {
      throw new ParameterError(
        `${param} has ${source.length} characters, ${MOST_CHARACTERS} are read: shorten it`,
        param,
      );
    }
  }

  read(): Node {
    for (this.#space(true); this.#next !== undefined; this.#space(true)) this.#definition();
    for (const [name, line] of this.#named) {
      if (!this.#defined.has(name)) throw this.#fault(`the rule "${name}" is not defined`, line);
    }
    const root = this.#rules.get("root");
    if (root === undefined || !this.#defined.has("root"))
      throw this.#fault('there is no rule "root", which is the text', 1);
    return root;
  }

  #definition(): void {
    const name = this.#name();
    if (name === "") throw this.#fault(`there is ${this.#seen} where a rule should begin, as in root ::= "yes" | "no"`);
    this.#space(false);
    for (const c of "::=")
      if (!this.#take(c)) throw this.#fault(`there is ${this.#seen} where "::=" should follow the name "${name}"`);
    if (this.#defined.has(name)) throw this.#fault(`the rule "${name}" is defined twice`);
    this.#space(true);
    this.#rule(name).body = this.#alternatives(0);
    this.#defined.add(name);
    if (this.#next !== undefined && this.#next !== "\n")
      throw this.#fault(`there is ${this.#seen} after the rule "${name}"`);
  }

  #alternatives(nested: number): Node {
    const options: Node[] = [];
    do {
      this.#space(true);
      options.push(this.#sequence(nested));
    } while (this.#take("|"));
    return choice(...options);
  }

  #sequence(nested: number): Node {
    const parts: Node[] = [];
    for (let part = this.#item(nested); part !== undefined; part = this.#item(nested)) {
      this.#space(nested > 0);
      parts.push(this.#repeated(part));
      this.#space(nested > 0);
    }
    return sequence(...parts);
  }

  #item(nested: number): Node | undefined {
    if (this.#take('"')) return this.#literal();
    if (this.#take("[")) return this.#class();
    if (this.#take(".")) return characters([[0, 0x10ffff]]);
    if (this.#take("(")) {
      if (nested === MOST_NESTED) throw this.#fault(`groups are nested more than ${MOST_NESTED} deep`);
      const inside = this.#alternatives(nested + 1);
      if (!this.#take(")")) throw this.#fault(`there is ${this.#seen} where ")" should be`);
      return inside;
    }
    const line = this.#line;
    const name = this.#name();
    if (name === "") return undefined;
    if (!this.#named.has(name)) this.#named.set(name, line);
    return this.#rule(name);
  }

  #repeated(part: Node): Node {
    if (this.#take("*")) return repeat(part);
    if (this.#take("+")) return repeat(part, 1);
    if (this.#take("?")) return repeat(part, 0, 1);
    if (!this.#take("{")) return part;
    let counts = "";
    while (this.#next !== undefined && !this.#take("}")) counts += this.#characters[this.#at++];
    const [, least, comma, most] = /^\s*(\d+)\s*(,?)\s*(\d*)\s*$/.exec(counts) ?? [];
    const min = Number(least);
    const max = comma === "," ? (most === "" ? Number.POSITIVE_INFINITY : Number(most)) : min;
    if (least === undefined || min > max || min > MOST_TURNS)
      throw this.#fault(`{${counts}} is not a repetition such as {2}, {2,} or {2,5}`);
    return repeat(part, min, max);
  }

  #literal(): Node {
    let text = "";
    while (!this.#take('"')) text += String.fromCodePoint(this.#character('"'));
    return literal(text);
  }

  #class(): Node {
    const negated = this.#take("^");
    const ranges: CodeRange[] = [];
    while (!this.#take("]")) {
      const first = this.#character("]");
      const range = this.#next === "-" && this.#characters[this.#at + 1] !== "]" && this.#take("-");
      const last = range ? this.#character("]") : first;
      if (last < first) throw this.#fault("a range of characters ends before it begins");
      ranges.push([first, last]);
    }
    return characters(negated ? complement(ranges) : ranges);
  }

  /** A character of a literal or class, as a code point. */
  #character(end: string): number {
    const character = this.#characters[this.#at++];
    if (character === undefined || character === "\n") throw this.#fault(`a ${end} is missing`);
    if (character !== "\\") return this.#whole(character.codePointAt(0)!);
    const letter = this.#characters[this.#at++] ?? "";
    const digits = HEX_DIGITS.get(letter);
    if (digits === undefined) return (ESCAPES.get(letter) ?? letter).codePointAt(0) ?? 0x5c;
    const hex = this.#characters.slice(this.#at, this.#at + digits).join("");
    const code = /^[0-9a-fA-F]+$/.test(hex) && hex.length === digits ? Number.parseInt(hex, 16) : Number.NaN;
    if (!(code <= 0x10ffff)) throw this.#fault(`\\${letter}${hex} is not a character`);
    this.#at += digits;
    return this.#whole(code);
  }

  #whole(code: number): number {
    if (code >= 0xd800 && code <= 0xdfff) throw this.#fault("half of a surrogate pair is not a character");
    return code;
  }

  #rule(name: string): Rule {
    const known = this.#rules.get(name) ?? rule(name);
    this.#rules.set(name, known);
    return known;
  }

  #name(): string {
    let name = "";
    while (this.#next !== undefined && /[A-Za-z0-9_-]/.test(this.#next)) name += this.#characters[this.#at++];
    return name;
  }

  /** Skips spaces and comments, and line ends where a rule may go on behind them. */
  #space(lines: boolean): void {
    for (let next = this.#next; next !== undefined; next = this.#next) {
      if (next === "#") while (this.#next !== undefined && this.#next !== "\n") this.#at++;
      else if (next === " " || next === "\t" || next === "\r" || (lines && next === "\n")) this.#at++;
      else break;
    }
  }

  get #next(): string | undefined {
    return this.#characters[this.#at];
  }

  get #seen(): string {
    return this.#next === undefined ? "an end" : JSON.stringify(this.#next);
  }

  get #line(): number {
    return this.#characters.slice(0, this.#at).filter((c) => c === "\n").length + 1;
  }

  #take(character: string): boolean {
    const found = this.#next === character;
    if (found) this.#at++;
    return found;
  }

  #fault(what: string, line = this.#line): ParameterError {
    return new ParameterError(`${this.#param}, line ${line}: ${what}`, this.#param);
  }
}
