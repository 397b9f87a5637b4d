import { z } from "@hono/zod-openapi";
import { boolean, only, text, tokenList } from "./fields.ts";
import { generationFields, ignoredFields, objectMessage } from "./generation.ts";

const oneEach = "send one request for each";
const promptText = text.min(1, { error: 'a prompt of at least one token, such as "Once upon a time"' });

/** The body of POST /v1/completions. */
export const CompletionRequest = z
  .strictObject(
    {
      model: text.nullish().openapi({ description: "A model's name, or its id (name@hash). Default the first one." }),
      prompt: z.union([promptText, tokenList, z.array(promptText).length(1)], { error: promptMessage }).openapi({
        description:
          "A text or a list of token ids; also a list of one text. Special tokens spelled in a text stay text.",
        example: "Once upon a time",
      }),
      ...generationFields,
      ...ignoredFields,
      store: boolean.nullish().openapi({
        description: "false keeps no states of this text, and looks for none. Default true.",
      }),
      n: only(1, oneEach),
      best_of: only(1, oneEach),
      echo: only(false, "the prompt is not repeated, put it in front yourself"),
      suffix: only("", "text cannot be inserted before another, leave it out"),
    },
    { error: objectMessage("a JSON object") },
  )
  .openapi("CompletionRequest");

export type CompletionRequest = z.output<typeof CompletionRequest>;

function promptMessage(issue: z.core.$ZodRawIssue): string {
  const { input } = issue;
  if (Array.isArray(input) && input.length > 1 && input.some((v) => typeof v === "string" || Array.isArray(v))) {
    return `one prompt, ${oneEach}`;
  }
  return "a text, or a list of at least one token id";
}

const Logprobs = z
  .object({
    tokens: z
      .array(z.string())
      .openapi({ description: "Each token's text; bytes:\\x.. where it is not whole characters." }),
    token_logprobs: z.array(z.number()),
    top_logprobs: z.array(z.record(z.string(), z.number())),
    text_offset: z
      .array(z.int())
      .openapi({ description: "Where each token begins in the generated text, in UTF-16 units." }),
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
  index: z.literal(0),
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
    usage: Usage.optional(),
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
