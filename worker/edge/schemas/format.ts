import { z } from "@hono/zod-openapi";
import { boolean, text } from "./fields.ts";
import { objectMessage } from "./generation.ts";

const nameWhat = "a name of 1 to 64 letters, digits, _ or -";
const named = {
  name: z.string({ error: nameWhat }).regex(/^[A-Za-z0-9_-]{1,64}$/, { error: nameWhat }),
  description: text.nullish(),
  schema: z.record(z.string(), z.unknown(), { error: "a JSON Schema, an object" }).nullish().openapi({
    description:
      "Draft 2020-12. Keywords that are not supported and could forbid a value are refused. Default any JSON.",
  }),
  strict: boolean.nullish().openapi({ description: "Accepted: a schema is always kept to." }),
};
const JsonSchemaFormat = z.strictObject(named, { error: objectMessage("an object such as {name, schema}") });

const plain = [
  z.strictObject({ type: z.literal("text") }),
  z.strictObject({ type: z.literal("json_object") }),
] as const;
const formatError = {
  error: objectMessage('an object such as {type: "json_object"}, of type "text", "json_object" or "json_schema"'),
};

/** What a reply's text must be. */
export const formatFields = {
  response_format: z
    .discriminatedUnion(
      "type",
      [...plain, z.strictObject({ type: z.literal("json_schema"), json_schema: JsonSchemaFormat })],
      formatError,
    )
    .nullish()
    .openapi({
      description:
        "JSON that is whole, within max_tokens; where these are too few for the shortest, the request is refused.",
      example: { type: "json_object" },
    }),
  grammar: text.min(1, { error: "a grammar in GBNF" }).nullish().openapi({
    description: "A grammar in GBNF, as llama.cpp has it, that the text must match. Not together with response_format.",
    example: 'root ::= "yes" | "no"',
  }),
} as const;

/** The same in the Responses API, where what is beside the type is not under a name of its own. */
export const TextFormat = z.discriminatedUnion(
  "type",
  [...plain, z.strictObject({ type: z.literal("json_schema"), ...named })],
  formatError,
);
export type TextFormat = z.output<typeof TextFormat>;

const Format = z.object(formatFields);
export type FormatFields = z.output<typeof Format>;
