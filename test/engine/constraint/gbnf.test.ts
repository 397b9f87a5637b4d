import { describe, expect, test } from "vitest";
import { gbnfGrammar } from "../../../worker/engine/constraint/gbnf.ts";
import { ParameterError } from "../../../worker/engine/errors.ts";
import { matcher } from "./spellings.ts";

describe("a grammar", () => {
  const list = `# a list
root  ::= item ("," ws item)*   # one or more
item  ::= [a-z]+ | num |
          "(" root ")"
num   ::= "-"? [0-9]{1,3}
ws    ::= " "?
`;
  test.each<[source: string, yes: string[], no: string[]]>([
    ['root ::= "yes" | "no"', ["yes", "no"], ["", "yesno", "ye"]],
    [list, ["a", "a,b", "a, -12,(x,(1))"], ["", "a,", "1234", "a,  b", "(a"]],
    ['root ::= "\\"q\\" \\n\\x41\\u00e9\\U0001F98A"', ['"q" \nAé🦊'], ["q"]],
    ["root ::= [^a-c\\]\\n] .", ["d!", "é\n"], ["a!", "]x", "d", "\nx"]],
    ["root ::= [-a] [b-] [\\x30-\\x39]", ["-b1", "a-9"], ["bb1"]],
    ['root ::= ("a" "b")? "c"+ "d"{2} "e"{1,} "f"{0,2}', ["cdde", "abccddeeff"], ["abdde", "cde", "cddefff"]],
    ['root ::= a\na ::= "x" a | "y"', ["y", "xxxy"], ["x", ""]],
    ['root ::= "" |\n  "b"', ["", "b"], ["bb"]],
  ])("%s", (source, yes, no) => {
    const allowed = matcher(gbnfGrammar(source, "grammar"));
    for (const text of yes) expect(allowed(text), text).toBe(true);
    for (const text of no) expect(allowed(text), text).toBe(false);
  });

  test.each([
    ["", 'line 1: there is no rule "root", which is the text'],
    ['a ::= "x"', 'line 1: there is no rule "root", which is the text'],
    ['root = "x"', 'line 1: there is "=" where "::=" should follow the name "root"'],
    ['root ::= "x', 'line 1: a " is missing'],
    ["root ::= [a", "line 1: a ] is missing"],
    ['root ::= ("x"', 'line 1: there is an end where ")" should be'],
    ['root ::= "x"\n\nroot ::= "y"', 'line 3: the rule "root" is defined twice'],
    ['root ::= "x" }', 'line 1: there is "}" after the rule "root"'],
    ['root ::= "x"{3,2}', "line 1: {3,2} is not a repetition such as {2}, {2,} or {2,5}"],
    ['root ::=\n "x" other', 'line 2: the rule "other" is not defined'],
    ["root ::= [z-a]", "line 1: a range of characters ends before it begins"],
    ['root ::= "\\ud800"', "line 1: half of a surrogate pair is not a character"],
    ['root ::= "\\xz"', 'line 1: \\xz" is not a character'],
    [`root ::= ${"(".repeat(65)}"x"${")".repeat(65)}`, "line 1: groups are nested more than 64 deep"],
    ["!", 'line 1: there is "!" where a rule should begin, as in root ::= "yes" | "no"'],
  ])("%s is refused", (source, what) => {
    expect(() => gbnfGrammar(source, "grammar")).toThrow(new ParameterError(`grammar, ${what}`, "grammar"));
  });
});
