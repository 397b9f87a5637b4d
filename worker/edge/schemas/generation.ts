import { z } from "@hono/zod-openapi";
import { boolean, integer, NOT_USED, number, text } from "./fields.ts";

const MOST_STOPS = 16;
const MOST_STOP_CHARACTERS = 256;

const stopWhat = `a text of 1 to ${MOST_STOP_CHARACTERS} characters`;
const stop = z
  .string({ error: stopWhat })
  .min(1, { error: stopWhat })
  .max(MOST_STOP_CHARACTERS, { error: stopWhat })
  .refine((s) => s.isWellFormed(), { error: "a text without halves of surrogate pairs" });
const stopList = z
  .array(stop, { error: `a text, or a list of at most ${MOST_STOPS}` })
  .max(MOST_STOPS, { error: `a list of at most ${MOST_STOPS} texts` });

/** How text is generated. null is the same as leaving a field out. The defaults are OpenAI's, and off where OpenAI has no such field. */
export const generationFields = {
  max_tokens: integer(0).nullish().openapi({
    description: "Most tokens to generate. The limit follows from the model's cost and the length of the prompt.",
    default: 128,
    example: 64,
  }),
  temperature: number(0, 2).nullish().openapi({ description: "0 takes the most probable token.", default: 1 }),
  top_p: z
    .number({ error: "a number above 0, at most 1" })
    .gt(0, { error: "a number above 0, at most 1" })
    .max(1, { error: "a number above 0, at most 1" })
    .nullish()
    .openapi({ description: "Keeps the fewest most probable tokens that hold this probability.", default: 1 }),
  top_k: integer(0).nullish().openapi({ description: "Keeps the k most probable tokens; 0 is off.", default: 0 }),
  min_p: number(0, 1).nullish().openapi({
    description: "Keeps tokens at least this probable in proportion to the most probable one; 0 is off.",
    default: 0,
  }),
  typical_p: z
    .number({ error: "a number above 0, at most 1" })
    .gt(0, { error: "a number above 0, at most 1" })
    .max(1, { error: "a number above 0, at most 1" })
    .nullish()
    .openapi({
      description:
        "Keeps the fewest tokens that hold this probability, those of about average information first (locally typical sampling); 1 is off.",
      default: 1,
    }),
  repetition_penalty: z
    .number({ error: "a number above 0, at most 2" })
    .gt(0, { error: "a number above 0, at most 2" })
    .max(2, { error: "a number above 0, at most 2" })
    .nullish()
    .openapi({ description: "Divides the logits of the last 512 tokens; 1 is off.", default: 1 }),
  frequency_penalty: number(-2, 2).nullish().openapi({
    description: "Taken from a token's logit for every time it was generated among the last 512.",
    default: 0,
  }),
  presence_penalty: number(-2, 2).nullish().openapi({
    description: "Taken from the logit of a token generated among the last 512.",
    default: 0,
  }),
  logit_bias: z
    .record(z.string().regex(/^\d{1,10}$/, { error: "a token id" }), number(-100, 100), {
      error: "an object of token ids and numbers from -100 to 100",
    })
    .nullish()
    .openapi({ description: "Added to the logits: token id → number from -100 to 100.", example: { "50256": -100 } }),
  seed: integer(0).nullish().openapi({
    description: "The same seed, prompt and model give the same text, however it is cut into requests.",
  }),
  stop: z
    .union([stop, stopList], { error: `a text, or a list of at most ${MOST_STOPS} texts` })
    .nullish()
    .openapi({ description: `Texts that end the reply, at most ${MOST_STOPS}; they are not part of it.` }),
  stream: boolean.nullish().openapi({ description: "Reply with server-sent events.", default: false }),
  stream_options: z
    .strictObject(
      {
        include_usage: boolean.nullish().openapi({ description: "A last chunk with the usage and no choices." }),
        continuous_usage_stats: boolean
          .nullish()
          .openapi({ description: "With the usage so far, and the seed, in every chunk of what is generated." }),
        include_obfuscation: boolean.nullish().openapi({ description: "Accepted; nothing is ever obfuscated." }),
      },
      { error: objectMessage("an object such as {include_usage: true}") },
    )
    .nullish()
    .openapi({ description: "What a stream has besides its text." }),
  logprobs: integer(0, 5).nullish().openapi({
    description: "Report each token's log-probability and those of this many most probable ones.",
  }),
} as const;

/** Fields of OpenAI's that cannot change the text: accepted and not used. */
export const ignoredFields = {
  user: text.nullish().openapi(NOT_USED),
  metadata: z.record(z.string(), z.unknown(), { error: "an object" }).nullish().openapi(NOT_USED),
  service_tier: text.nullish().openapi(NOT_USED),
  store: boolean.nullish().openapi(NOT_USED),
  safety_identifier: text.nullish().openapi(NOT_USED),
  prompt_cache_key: text.nullish().openapi(NOT_USED),
} as const;

const Generation = z.object(generationFields);
export type GenerationFields = z.output<typeof Generation>;

/** Keeps zod's own list of unknown keys, which becomes a message that names them. */
export function objectMessage(what: string): (issue: z.core.$ZodRawIssue) => string | undefined {
  return (issue) => (issue.code === "unrecognized_keys" ? undefined : what);
}
