import { z } from "@hono/zod-openapi";
import { ERROR_CODES, type ErrorCode } from "../http/error-codes.ts";

const CODES = Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]];

/** Of every error reply. */
export const ErrorReply = z
  .object({
    error: z.object({
      message: z.string().openapi({ description: "What was wrong, what was seen, what to do." }),
      type: z.string(),
      param: z.string().nullable(),
      code: z.enum(CODES).nullable(),
    }),
  })
  .openapi("Error");

export const ModelInfo = z
  .object({
    id: z.string().openapi({ example: "mamba-tiny@0123456789ab" }),
    object: z.literal("model"),
    created: z.int(),
    owned_by: z.string(),
    name: z.string(),
    family: z.string().openapi({ description: "Shared by packages of one checkpoint, whatever their quantization." }),
    architecture: z.string(),
    quantization: z.string(),
    bytes: z.int(),
    tokenizer: z.boolean().optional().openapi({ description: "Whether it can be given text." }),
    max_examples: z.int().nullable().optional().openapi({
      description:
        "Of an in-context model: (x, y) examples that its attention holds with a query behind them; null without attention.",
    }),
    trained_examples: z.int().nullable().optional().openapi({
      description:
        "Of an in-context model: how many examples came before a question, at most, while it was trained. With more its predictions may get worse; null where that is not known.",
    }),
    interleave: z.literal(false).optional().openapi({
      description:
        "Of an in-context model that is fed vectors one after another and no (x, y) examples: ask it through /v2/models/{name}/infer.",
    }),
    weights_url: z
      .string()
      .nullable()
      .openapi({ description: "Folder of the package's files, where they are public." }),
  })
  .openapi("Model");

/** A JSON reply in an OpenAPI route. */
export function json<T extends z.ZodType>(schema: T, description: string) {
  return { description, content: { "application/json": { schema } } };
}

/** The replies that any route of /v1 may give. */
export const errorReplies = {
  400: json(ErrorReply, "The request is wrong; the error names the field"),
  401: json(ErrorReply, "No API key, or a wrong one"),
  403: json(ErrorReply, "A key that may not do this, or not from this page"),
  413: json(ErrorReply, "A body larger than is read"),
  429: json(
    ErrorReply,
    "More requests a minute than the key may send, or at a time than are served; retry-after says when to come back",
  ),
  503: json(ErrorReply, "The model cannot be served: over the memory budget, weights missing or damaged"),
};
