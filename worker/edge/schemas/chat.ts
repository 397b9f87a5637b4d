import { z } from "@hono/zod-openapi";
import { Timings, Usage } from "./completion.ts";
import { absent, boolean, emptyList, integer, NO_TOOLS, NOT_USED, only, text, toolChoice } from "./fields.ts";
import { formatFields } from "./format.ts";
import { generationFields, ignoredFields, objectMessage } from "./generation.ts";

/** Most messages of a request, and most choices of its reply. */
const MOST_MESSAGES = 4096;
export const MOST_CHOICES = 8;

const TextPart = z.strictObject(
  { type: z.literal("text", { error: '"text": the models read text only' }), text },
  { error: objectMessage('an object such as {type: "text", text: "Hello"}') },
);
const content = z
  .union([text, z.array(TextPart, { error: "a text, or a list of text parts" })], {
    error: 'a text, or a list of parts such as {type: "text", text: "Hello"}',
  })
  .openapi({ example: "Tell me a story." });

const name = absent("the models are not told names");

const Prompting = z.strictObject(
  { role: z.enum(["system", "developer", "user"]), content, name },
  { error: objectMessage("an object such as {role, content}") },
);
/** As the official client gives it back. */
const Reply = z.strictObject(
  {
    role: z.literal("assistant"),
    content: content.nullish(),
    refusal: absent("nothing is refused here"),
    audio: absent("the models read text only"),
    parsed: absent("replies are plain text"),
    annotations: emptyList(),
    tool_calls: emptyList(NO_TOOLS),
    function_call: absent(NO_TOOLS),
    name,
  },
  { error: objectMessage("an object such as {role, content}") },
);
const Message = z
  .discriminatedUnion("role", [Prompting, Reply], { error: messageError })
  .openapi("ChatMessage", { description: "developer is the same as system." });

const { logprobs: _, ...sampling } = generationFields;

/** The body of POST /v1/chat/completions. */
export const ChatRequest = z
  .strictObject(
    {
      model: text.nullish().openapi({ description: "A model's name, or its id (name@hash). Default the first one." }),
      messages: z
        .array(Message, { error: "a list of at least one message" })
        .min(1, { error: "a list of at least one message" })
        .max(MOST_MESSAGES, { error: `a list of at most ${MOST_MESSAGES} messages` })
        .openapi({
          description: "The whole conversation; developer is the same as system.",
          example: [{ role: "user", content: "Tell me a story." }],
        }),
      ...sampling,
      max_completion_tokens: integer(0).nullish().openapi({ description: "Another name of max_tokens." }),
      logprobs: boolean.nullish().openapi({ description: "Report each token's log-probability." }),
      top_logprobs: integer(0, 20).nullish().openapi({
        description: "And those of this many most probable ones; needs logprobs.",
      }),
      n: integer(1, MOST_CHOICES).nullish().openapi({
        description: "Choices, one after another from one prefill; choice i is drawn with seed + i.",
        default: 1,
      }),
      ...ignoredFields,
      store: boolean.nullish().openapi({
        description: "false keeps no state of this conversation, and looks for none.",
        default: true,
      }),
      prompt_cache_retention: text.nullish().openapi(NOT_USED),
      parallel_tool_calls: boolean.nullish().openapi(NOT_USED),
      ...formatFields,
      modalities: z
        .array(z.literal("text", { error: '"text": the models write text only' }), { error: '["text"]' })
        .nullish()
        .openapi({ description: "Only text is written." }),
      tools: emptyList(NO_TOOLS),
      tool_choice: toolChoice,
      functions: emptyList(NO_TOOLS),
      function_call: toolChoice,
      audio: absent("the models write text only"),
      prediction: absent("it is not supported"),
      reasoning_effort: only("none", "the models do not reason apart from their reply"),
      verbosity: absent("it is not supported"),
      web_search_options: absent("nothing is searched here"),
    },
    { error: objectMessage("a JSON object") },
  )
  .openapi("ChatRequest");
export type ChatRequest = z.output<typeof ChatRequest>;

function messageError(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === "unrecognized_keys") return undefined;
  if (issue.code === "invalid_union") return '"system", "developer", "user" or "assistant"';
  return "an object such as {role, content}";
}

const Score = { token: z.string(), logprob: z.number(), bytes: z.array(z.int()) };
export const ChatLogprobs = z
  .object({
    content: z.array(z.object({ ...Score, top_logprobs: z.array(z.object(Score)) })),
    refusal: z.null(),
  })
  .openapi("ChatLogprobs");
export type ChatLogprobs = z.output<typeof ChatLogprobs>;

const finish = z.enum(["stop", "length"]);
const head = {
  id: z.string().openapi({ example: "chatcmpl-7b0c1f2e3d4a5b6c7d8e9f00" }),
  created: z.int(),
  model: z.string(),
};
const ending = { usage: Usage.nullish(), timings: Timings.optional(), seed: z.int().optional() };

export const ChatCompletion = z
  .object({
    ...head,
    object: z.literal("chat.completion"),
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({ role: z.literal("assistant"), content: z.string(), refusal: z.null() }),
        logprobs: ChatLogprobs.nullable(),
        finish_reason: finish,
      }),
    ),
    ...ending,
  })
  .openapi("ChatCompletion");
export type ChatCompletion = z.output<typeof ChatCompletion>;

export const ChatChunk = z
  .object({
    ...head,
    object: z.literal("chat.completion.chunk"),
    choices: z.array(
      z.object({
        index: z.int(),
        delta: z.object({ role: z.literal("assistant").optional(), content: z.string().optional() }),
        logprobs: ChatLogprobs.nullable(),
        finish_reason: finish.nullable(),
      }),
    ),
    ...ending,
  })
  .openapi("ChatCompletionChunk");
export type ChatChunk = z.output<typeof ChatChunk>;
