import { z } from "@hono/zod-openapi";
import { ChatLogprobs } from "./chat.ts";
import { Timings } from "./completion.ts";
import { TextFormat } from "./format.ts";
import { pageOf } from "./page.ts";

const Part = z.object({
  type: z.literal("output_text"),
  text: z.string(),
  annotations: z.array(z.unknown()),
  logprobs: ChatLogprobs.shape.content.optional(),
});

const OutputMessage = z
  .object({
    id: z.string().openapi({ example: "msg_7b0c1f2e3d4a5b6c7d8e9f00" }),
    type: z.literal("message"),
    status: z.enum(["in_progress", "completed", "incomplete"]),
    role: z.literal("assistant"),
    content: z.array(Part),
  })
  .openapi("ResponseOutputMessage");
export type OutputMessage = z.output<typeof OutputMessage>;
export type OutputPart = z.output<typeof Part>;

const InputMessage = z
  .object({
    id: z.string(),
    type: z.literal("message"),
    status: z.literal("completed"),
    role: z.enum(["system", "developer", "user"]),
    content: z.array(z.object({ type: z.literal("input_text"), text: z.string() })),
  })
  .openapi("ResponseInputMessage");

const Item = z.union([InputMessage, OutputMessage]);
/** A message that a reply was made from. */
export type InputItem = z.output<typeof Item>;

export const InputItemList = pageOf(Item).openapi("ResponseItemList");
export type InputItemList = z.output<typeof InputItemList>;

const Usage = z
  .object({
    input_tokens: z.int().openapi({ description: "Of the whole conversation." }),
    input_tokens_details: z.object({
      cached_tokens: z.int().openapi({ description: "Those of them that came from a stored state and cost nothing." }),
    }),
    output_tokens: z.int(),
    output_tokens_details: z.object({ reasoning_tokens: z.literal(0) }),
    total_tokens: z.int(),
    computed_tokens: z.int().openapi({ description: "Tokens that went through the model for this request." }),
  })
  .openapi("ResponseUsage");

/** OpenAI's response object. */
export const ResponseObject = z
  .object({
    id: z.string().openapi({ example: "resp_7b0c1f2e3d4a5b6c7d8e9f00a1b2c3d4e5f60718293a4b5c" }),
    object: z.literal("response"),
    created_at: z.int(),
    completed_at: z.int().nullable(),
    status: z.enum(["in_progress", "completed", "incomplete", "failed"]),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    incomplete_details: z.object({ reason: z.literal("max_output_tokens") }).nullable(),
    instructions: z.string().nullable(),
    model: z.string(),
    output: z.array(OutputMessage),
    previous_response_id: z.string().nullable(),
    store: z.boolean().openapi({ description: "Whether it can be read, and gone on from." }),
    temperature: z.number(),
    top_p: z.number(),
    max_output_tokens: z.int().nullable(),
    top_logprobs: z.int(),
    text: z.object({ format: TextFormat }),
    truncation: z.enum(["auto", "disabled"]),
    metadata: z.record(z.string(), z.string()),
    user: z.string().nullable(),
    safety_identifier: z.string().nullable(),
    prompt_cache_key: z.string().nullable(),
    service_tier: z.literal("default"),
    background: z.literal(false),
    parallel_tool_calls: z.boolean(),
    max_tool_calls: z.int().nullable(),
    tools: z.array(z.unknown()),
    tool_choice: z.enum(["auto", "none"]),
    reasoning: z.object({ effort: z.literal("none").nullable(), summary: z.null() }),
    usage: Usage.nullable(),
    timings: Timings.optional(),
    seed: z.int().optional(),
  })
  .openapi("Response");
export type ResponseObject = z.output<typeof ResponseObject>;

export const DeletedResponse = z
  .object({ id: z.string(), object: z.literal("response"), deleted: z.literal(true) })
  .openapi("DeletedResponse");
export type DeletedResponse = z.output<typeof DeletedResponse>;
