import { z } from "@hono/zod-openapi";
import { absent, boolean, emptyList, integer, NO_TOOLS, NOT_USED, only, text, toolChoice } from "./fields.ts";
import { TextFormat } from "./format.ts";
import { generationFields, ignoredFields, objectMessage } from "./generation.ts";

/** Most items of a request. */
const MOST_ITEMS = 4096;
const MOST_METADATA = 16;

const noReasoning = "the models do not reason apart from their reply";

function parts<T extends "input_text" | "output_text">(type: T) {
  const example = `{type: "${type}", text: "Hello"}`;
  const part = z.strictObject(
    {
      type: z.literal(type, { error: `"${type}": the models read text only` }),
      text,
      // As replies have them.
      ...(type === "output_text" && { annotations: emptyList(), logprobs: z.array(z.unknown()).nullish() }),
    },
    { error: objectMessage(`an object such as ${example}`) },
  );
  const list = z.array(part, { error: "a text, or a list of text parts" });
  return z
    .union([text, list], { error: `a text, or a list of parts such as ${example}` })
    .openapi({ example: "Tell me a story." });
}

/** What messages that are given back have besides their content. */
const frame = {
  type: z.literal("message", { error: '"message": items of other kinds are not read here' }).nullish(),
  id: text.nullish(),
  status: z
    .enum(["in_progress", "completed", "incomplete"], { error: '"in_progress", "completed" or "incomplete"' })
    .nullish(),
  phase: z.enum(["commentary", "final_answer"], { error: '"commentary" or "final_answer"' }).nullish(),
};
const notAMessage = objectMessage("an object such as {role, content}");
const Item = z
  .discriminatedUnion(
    "role",
    [
      z.strictObject(
        { role: z.enum(["system", "developer", "user"]), content: parts("input_text"), ...frame },
        { error: notAMessage },
      ),
      z.strictObject({ role: z.literal("assistant"), content: parts("output_text"), ...frame }, { error: notAMessage }),
    ],
    { error: itemError },
  )
  .openapi("ResponseItem", { description: "A message. developer is the same as system." });
export type RequestItem = z.output<typeof Item>;

function itemError(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === "unrecognized_keys") return undefined;
  if (issue.code === "invalid_union") return 'a message\'s: "system", "developer", "user" or "assistant"';
  return "an object such as {role, content}";
}

const metadataText = z.string({ error: "a text of at most 512 characters" }).max(512, {
  error: "a text of at most 512 characters",
});
const metadata = z
  .record(z.string().max(64, { error: "a name of at most 64 characters" }), metadataText, {
    error: "an object of texts",
  })
  .refine((o) => Object.keys(o).length <= MOST_METADATA, { error: `an object of at most ${MOST_METADATA} texts` });

const { max_tokens: _, logprobs: __, stream: ___, stream_options: ____, ...sampling } = generationFields;
/** The fields that mean the same as in chat completions. */
export const SAMPLING_FIELDS = Object.keys(sampling) as (keyof typeof sampling)[];

/** The body of POST /v1/responses. */
export const ResponseRequest = z
  .strictObject(
    {
      model: text.nullish().openapi({
        description:
          "A model's name, or its id (name@hash). Default the previous response's, without one the first model.",
      }),
      input: z
        .union(
          [
            text,
            z
              .array(Item, { error: "a text, or a list of messages" })
              .min(1, { error: "a text, or a list of at least one message" })
              .max(MOST_ITEMS, { error: `a list of at most ${MOST_ITEMS} messages` }),
          ],
          { error: "a text, or a list of messages" },
        )
        .openapi({ description: "A user's message, or a list of messages.", example: "Tell me a story." }),
      instructions: text.nullish().openapi({
        description: "A system message in front of the conversation, of this response only.",
      }),
      previous_response_id: text.nullish().openapi({
        description: "The stored response that this one goes on from. Several may go on from the same one.",
      }),
      max_output_tokens: integer(1).nullish().openapi({
        description: "Most tokens to generate. The limit follows from the model's cost.",
        default: 128,
        example: 64,
      }),
      ...sampling,
      stream: generationFields.stream,
      stream_options: z
        .strictObject(
          { include_obfuscation: boolean.nullish() },
          { error: objectMessage("an object such as {include_obfuscation: false}") },
        )
        .nullish()
        .openapi(NOT_USED),
      include: z
        .array(
          z.enum(
            [
              "message.output_text.logprobs",
              "message.input_image.image_url",
              "reasoning.encrypted_content",
              "file_search_call.results",
              "web_search_call.results",
              "web_search_call.action.sources",
              "computer_call_output.output.image_url",
              "code_interpreter_call.outputs",
            ],
            { error: "what a response may include, such as message.output_text.logprobs" },
          ),
          { error: 'a list such as ["message.output_text.logprobs"]' },
        )
        .nullish()
        .openapi({
          description: "message.output_text.logprobs reports log-probabilities; there is nothing of the others.",
        }),
      top_logprobs: integer(0, 20).nullish().openapi({
        description: "Of this many most probable tokens; needs include message.output_text.logprobs.",
      }),
      text: z
        .strictObject(
          { format: TextFormat.nullish(), verbosity: absent("it is not supported") },
          { error: objectMessage('an object such as {format: {type: "text"}}') },
        )
        .nullish()
        .openapi({ description: "What the reply's text is: whole JSON, as with response_format in chat completions." }),
      truncation: z
        .enum(["auto", "disabled"], { error: '"auto" or "disabled"' })
        .nullish()
        .openapi({ description: "Nothing is ever truncated: the models have no window." }),
      ...ignoredFields,
      store: boolean.nullish().openapi({
        description: "false keeps nothing of this response; a deployment may be set to keep nothing at all.",
        default: true,
      }),
      metadata: metadata.nullish().openapi({ description: "Given back with the response." }),
      prompt_cache_retention: text.nullish().openapi(NOT_USED),
      parallel_tool_calls: boolean.nullish().openapi(NOT_USED),
      max_tool_calls: integer(1).nullish().openapi(NOT_USED),
      background: only(false, "responses are made while the client waits"),
      tools: emptyList(NO_TOOLS),
      tool_choice: toolChoice,
      conversation: absent("go on from a response with previous_response_id"),
      prompt: absent("there are no stored prompts"),
      reasoning: z
        .strictObject(
          { effort: only("none", noReasoning), summary: absent(noReasoning), generate_summary: absent(noReasoning) },
          { error: objectMessage(`null: ${noReasoning}, leave it out`) },
        )
        .nullish()
        .openapi({ description: `To be left out: ${noReasoning}.` }),
      context_management: absent("it is not supported"),
      moderation: absent("it is not supported"),
    },
    { error: objectMessage("a JSON object") },
  )
  .openapi("ResponseRequest");
export type ResponseRequest = z.output<typeof ResponseRequest>;
