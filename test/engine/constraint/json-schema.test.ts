import { describe, expect, test } from "vitest";
import { schemaGrammar } from "../../../worker/engine/constraint/json-schema.ts";
import { ParameterError } from "../../../worker/engine/errors.ts";
import { matcher } from "./spellings.ts";

const a = { type: "object", properties: { kind: { const: "a" }, x: { type: "integer" } }, required: ["kind"] };
const b = { type: "object", properties: { kind: { const: "b" } }, required: ["kind"] };
const tree = {
  $ref: "#/$defs/tree",
  $defs: {
    tree: {
      type: "object",
      properties: { left: { $ref: "#/$defs/tree" }, leaf: { type: "null" } },
      additionalProperties: false,
    },
  },
};

describe("a schema", () => {
  test.each<[schema: unknown, yes: string[], no: string[]]>([
    [true, ["1", "{}", '[null, "a"]'], ["", "{,}", "[1,]", "01", '"\n"', "nul"]],
    [{}, ['{"a":[{}]}', "-0.5e-3"], [" 1", "1 ", '{"a" :1}', "1."]],
    [{ type: "string" }, ['"é\\n\\u00e9🦊"', '""'], ['"\\ud800"', '"a', "1"]],
    [{ type: "string", minLength: 1, maxLength: 2 }, ['"a"', '"🦊\\""', '"\\u00e9b"'], ['""', '"abc"']],
    [{ type: ["integer", "null"] }, ["1", "-20", "null"], ["1.5", '"a"', "1234567890123456"]],
    [{ enum: ["x", 1, null, ["y"]] }, ['"x"', "1", "null", '["y"]'], ['"y"', "2"]],
    [{ type: "string", enum: ["x", 1] }, ['"x"'], ["1"]],
    [{ enum: ["x", "y"], const: "y" }, ['"y"'], ['"x"']],
    [{ anyOf: [{ type: "boolean" }, { const: "maybe" }] }, ["true", '"maybe"'], ["null"]],
    [{ oneOf: [a, b] }, ['{"kind":"a","x":1}', '{"kind":"b"}'], ['{"kind":"c"}']],
    [{ oneOf: [{ type: "string" }, { type: "integer" }] }, ['"a"', "1"], ["null"]],
    [{ allOf: [{ type: "null" }], description: "one" }, ["null"], ["1"]],
    [{ type: "array", items: { type: "integer" } }, ["[]", "[1,2, 3]"], ["[1,]", '["a"]']],
    [{ items: { type: "integer" }, minItems: 2, maxItems: 3 }, ["[1,2]", "[1,2,3]"], ["[]", "[1]", "[1,2,3,4]"]],
    [{ type: "array", maxItems: 0 }, ["[]"], ["[1]"]],
    [{ prefixItems: [{ type: "integer" }, { type: "null" }], items: false }, ["[1,null]"], ["[1]", "[1,null,2]"]],
    [
      { prefixItems: [{ type: "null" }], items: { type: "integer" }, minItems: 2, maxItems: 3 },
      ["[null,1]", "[null,1,2]"],
      ["[null]", "[1]"],
    ],
    [
      { properties: { a: { type: "integer" }, b: { type: "null" }, c: true }, required: ["b"] },
      ['{"b":null}', '{"a":1,"b":null}', '{"a":1, "b": null,"c":[]}', '{"b":null,"c":1}'],
      ["{}", '{"a":1}', '{"b":null,"a":1}', '{"b":null,}', '{,"b":null}', '{"b":null,"d":1}'],
    ],
    [{ type: "object", properties: {}, additionalProperties: false }, ["{}"], ['{"a":1}']],
    [{ type: "object" }, ["{}", '{"a":1,"b":{}}'], ["[]"]],
    [
      { properties: { ab: { type: "null" }, "": true }, required: ["ab"], additionalProperties: { type: "integer" } },
      ['{"ab":null}', '{"ab":null,"a":1,"abc":2,"b":3}', '{"ab":null,"":"x","é":1}'],
      ['{"ab":1}', '{"ab":null,"ab":1}', '{"ab":null,"c":"x"}', '{"ab":null,"\\u0061b":1}'],
    ],
    [
      { required: ["z"], additionalProperties: { type: "null" } },
      ['{"z":null}', '{"z":null,"y":null}'],
      ["{}", '{"y":null}'],
    ],
    [tree, ["{}", '{"left":{"left":{"leaf":null}},"leaf":null}'], ['{"left":null}']],
    [{ properties: { "a/b~c": { $ref: "#/properties/d" }, d: { type: "null" } } }, ['{"a/b~c":null}'], ['{"a/b~c":1}']],
    [{ type: "string", minimum: 3, uniqueItems: true, title: "no effect on strings" }, ['"a"'], ["1"]],
    [{ type: "integer", multipleOf: 1, minimum: 3, maximum: 5 }, ["3", "5"], ["2", "6", "4.0"]],
  ])("%j", (schema, yes, no) => {
    const allowed = matcher(schemaGrammar(schema, "s"));
    for (const text of yes) expect(allowed(text), text).toBe(true);
    for (const text of no) expect(allowed(text), text).toBe(false);
  });
});

describe("what is not supported is refused, by its path", () => {
  const other = "not supported: leave it out, and check the reply yourself";
  test.each<[schema: unknown, path: string, what: string]>([
    ...[
      "not",
      "if",
      "contains",
      "patternProperties",
      "propertyNames",
      "minProperties",
      "dependentRequired",
      "unevaluatedItems",
      "x-own",
    ].map((keyword): [unknown, string, string] => [
      { properties: { a: { [keyword]: {} } } },
      `.properties.a.${keyword}`,
      other,
    ]),
    [{ type: "array", uniqueItems: true }, ".uniqueItems", other],
    [
      { items: { type: "number", multipleOf: 2 } },
      ".items.multipleOf",
      "not supported, but for 1 of an integer: leave it out, and check the reply yourself",
    ],
    [
      { type: "integer", multipleOf: 5 },
      ".multipleOf",
      "not supported, but for 1 of an integer: leave it out, and check the reply yourself",
    ],
    ...["iri", "uri-reference", "regex", "json-pointer", "idn-email", "DATE", 1].map(
      (format): [unknown, string, string] => [
        { type: "string", format },
        ".format",
        `${JSON.stringify(format)}: supported are date, time, date-time, duration, email, hostname, ipv4, ipv6, uri, uuid`,
      ],
    ),
    [
      { type: "string", pattern: "a", maxLength: 3 },
      ".pattern",
      "not supported together with maxLength: say both in one pattern",
    ],
    [
      { enum: ["a"], maxLength: 3 },
      ".maxLength",
      "not supported beside enum or const: leave out the values that it forbids",
    ],
    [{ anyOf: [true], properties: {} }, ".properties", "not supported beside anyOf: put it into what anyOf holds"],
    [{ $ref: "#", type: "object" }, ".type", "not supported beside $ref: put it into what $ref holds"],
    [
      { anyOf: [true, { $ref: "other.json" }] },
      ".anyOf[1].$ref",
      '"other.json": it must point into the schema itself, as "#/$defs/name"',
    ],
    [{ $ref: "#/$defs/none" }, ".$ref", '"#/$defs/none": there is nothing there in the schema'],
    [
      { oneOf: [{ type: "integer" }, { type: "number" }] },
      ".oneOf",
      "supported only where no value can fit two of its schemas, by their types, or by a const in a required property: use anyOf",
    ],
    [
      { oneOf: [a, { ...b, required: [] }] },
      ".oneOf",
      "supported only where no value can fit two of its schemas, by their types, or by a const in a required property: use anyOf",
    ],
    [{ allOf: [true, true] }, ".allOf", "supported only with one schema: write them as one"],
    [
      { type: "text" },
      ".type",
      '"text": it must be one of string, number, integer, boolean, null, array, object, or a list of these',
    ],
    [{ type: "string", minLength: 3, maxLength: 2 }, ".minLength", "3, more than maxLength, which is 2"],
    [{ type: "array", minItems: -1 }, ".minItems", "-1: it must be an integer from 0 to 1000000"],
    [{ type: "number", minimum: "1" }, ".minimum", '"1": it must be a number'],
    [
      { type: "number", minimum: 0.1234567890123456 },
      ".minimum",
      "not supported with more than 15 digits: round the bounds",
    ],
    [{ properties: [] }, ".properties", "not an object of schemas"],
    [{ properties: { a: false } }, ".properties.a", "not a schema: it must be an object, or true"],
    [
      { required: ["a"], additionalProperties: false },
      ".required",
      '"a" is required, but not among the properties, and additionalProperties is false',
    ],
    [{ enum: [] }, ".enum", "not a list of at least one value"],
    [{ type: "integer", enum: ["a"] }, ".type", "the type of none of its values"],
    [{ prefixItems: [true], items: false, minItems: 2 }, ".minItems", "2, but items is false and prefixItems has 1"],
    [{ $defs: { a: { not: {} } }, $ref: "#/$defs/a" }, ".$defs.a.not", other],
    [false, "", "not a schema: it must be an object, or true"],
  ])("%j", (schema, path, what) => {
    expect(() => schemaGrammar(schema, "s")).toThrow(new ParameterError(`s${path} is ${what}`, `s${path}`));
  });

  test("a schema that is too long", () => {
    expect(() => schemaGrammar({ enum: ["x".repeat(70_000)] }, "s")).toThrow(
      /s is 70013 characters long: at most 65536 are read/,
    );
  });
});
