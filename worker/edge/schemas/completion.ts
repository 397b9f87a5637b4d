import { z } from "@hono/zod-openapi";
import { boolean, integer, only, text, tokenList } from "./fields.ts";
import { formatFields } from "./format.ts";
import { generationFields, ignoredFields, objectMessage } from "./generation.ts";

/** Most prompts of a request, and most choices of each. */
const MOST_PROMPTS = 64;
const MOST_CHOICES = 8;
const promptText = text.min(1, { error: 'a prompt of at least one token, such as "Once upon a time"' });
const several = <T extends z.ZodType>(prompt: T) => z.array(prompt).min(1).max(MOST_PROMPTS);

/** The body of POST /v1/completions. */
export const CompletionRequest = z
  .strictObject(
    {
      model: text.nullish().openapi({ description: "A model's name, or its id (name@hash). Default the first one." }),
      prompt: z
        .union([promptText, tokenList, several(promptText), several(tokenList)], {
          error: `a text, a list of at least one token id, or a list of at most ${MOST_PROMPTS} of either`,
        })
        .openapi({
          description:
            "A text or a list of token ids, or several of either. Special tokens spelled in a text stay text.",
          example: "Once upon a time",
        }),
      ...generationFields,
      ...formatFields,
      ...ignoredFields,
      store: boolean.nullish().openapi({
        description: "false keeps no states of this text, and looks for none.",
        default: true,
      }),
      n: integer(1, MOST_CHOICES).nullish().openapi({
        description: "Choices of each prompt, one after another; the i-th is drawn with seed + i.",
        default: 1,
      }),
      best_of: integer(1, MOST_CHOICES).nullish().openapi({
        description:
          "Generates so many choices of each prompt and gives the n with the highest log-probability a token.",
      }),
      echo: boolean.nullish().openapi({
        description: "The text begins with the prompt, and with logprobs its tokens are scored.",
        default: false,
      }),
      suffix: only("", "text cannot be inserted before another, leave it out"),
    },
    { error: objectMessage("a JSON object") },
  )
  .openapi("CompletionRequest");

export type CompletionRequest = z.output<typeof CompletionRequest>;

/** Each prompt of a request, and what it is called there. */
export function promptsOf(
  prompt: CompletionRequest["prompt"],
): { readonly prompt: string | readonly number[]; readonly param: string }[] {
  if (typeof prompt === "string" || typeof prompt[0] === "number") {
    return [{ prompt: prompt as string | number[], param: "prompt" }];
  }
  return (prompt as (string | number[])[]).map((each, i) => ({ prompt: each, param: `prompt[${i}]` }));
}

const Logprobs = z
  .object({
    tokens: z
      .array(z.string())
      .openapi({ description: "Each token's text; bytes:\\x.. where it is not whole characters." }),
    token_logprobs: z
      .array(z.number().nullable())
      .openapi({ description: "null of an echoed prompt's first token, which nothing stands before." }),
    top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
    text_offset: z
      .array(z.int())
      .openapi({ description: "Where each token begins in the choice's text, in UTF-16 units." }),
  })
  .openapi("Logprobs");
export type Logprobs = z.output<typeof Logprobs>;

export const Usage = z
  .object({
    prompt_tokens: z
      .int()
      .openapi({ description: "Tokens in front of the first generated one, stored ones included." }),
    completion_tokens: z.int(),
    total_tokens: z.int(),
    prompt_tokens_details: z.object({
      cached_tokens: z.int().openapi({ description: "Prompt tokens that came from a stored state and cost nothing." }),
    }),
    computed_tokens: z.int().openapi({ description: "Tokens that went through the model for this request." }),
  })
  .openapi("Usage");
export type Usage = z.output<typeof Usage>;

export const Timings = z
  .object({
    wall_seconds_across_io: z.object({
      model: z.number().openapi({ description: "Until the model could begin." }),
      first_token: z.number(),
      total: z.number(),
    }),
  })
  .openapi("Timings", {
    description:
      "Seconds on the wall. A deployed Worker's clock advances only at I/O, so pure computation counts as 0.",
  });
export type Timings = z.output<typeof Timings>;

const Choice = z.object({
  index: z.int(),
  text: z.string(),
  logprobs: Logprobs.nullable(),
  finish_reason: z.enum(["stop", "length"]).nullable(),
});

/** The reply, and the shape of each chunk of a streamed one. */
export const Completion = z
  .object({
    id: z.string().openapi({ example: "cmpl-7b0c1f2e3d4a5b6c7d8e9f00" }),
    object: z.literal("text_completion"),
    created: z.int(),
    model: z.string(),
    choices: z.array(Choice),
    usage: Usage.nullish(),
    timings: Timings.optional(),
    seed: z.int().optional(),
    session: z.string().optional().openapi({ description: "Session that now holds the state (appends only)." }),
    snapshot: z.string().optional().openapi({ description: "Id of the stored state (appends only)." }),
    forked_from: z.string().optional().openapi({
      description:
        "Present when the session had moved on from where this append began: it was stored in a new session.",
    }),
  })
  .openapi("Completion");
export type Completion = z.output<typeof Completion>;
