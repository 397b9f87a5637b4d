import { z } from "@hono/zod-openapi";
import { integer, text } from "./fields.ts";
import { objectMessage } from "./generation.ts";

/*
 * The Open Inference Protocol, version 2, over REST:
 * https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
 */

const NO_PARAMETERS = z.strictObject({}, { error: objectMessage("an empty object") }).optional();
const tokens = z.array(integer(0), { error: "a list of token ids" });

const TokenTensor = z.strictObject(
  {
    name: z.enum(["tokens", "targets"], { error: '"tokens" or "targets"' }),
    datatype: z.enum(["INT32", "INT64"], { error: '"INT32" or "INT64"' }),
    shape: z
      .array(integer(0), { error: "[n] or [1, n]" })
      .min(1, { error: "[n] or [1, n]" })
      .max(2, { error: "[n] or [1, n]: one sequence a request" }),
    data: z
      .union([tokens, z.tuple([tokens])], { error: "a list of token ids, or a list of one such list" })
      .openapi({ example: [0, 11, 42] }),
    parameters: NO_PARAMETERS,
  },
  { error: objectMessage("a tensor: {name, datatype, shape, data}") },
);

export const InferRequest = z
  .strictObject(
    {
      id: text.optional().openapi({ description: "Given back in the reply." }),
      parameters: z
        .strictObject(
          {
            positions: z.enum(["last", "all"], { error: '"last" or "all"' }).optional().openapi({
              description: "Of the logits: after the last token, [1, vocab], or after each, [1, n, vocab].",
            }),
          },
          { error: objectMessage("an object") },
        )
        .optional()
        .openapi({ description: "Of which positions there are outputs." }),
      inputs: z
        .array(TokenTensor, { error: "a list of tensors" })
        .min(1, { error: 'a list with the tensor "tokens"' })
        .max(2, { error: 'a list with the tensor "tokens", and "targets" or not' })
        .openapi({
          description: '"tokens" are all that is fed. "targets" asks for the log-probability of one at each.',
        }),
      outputs: z
        .array(
          z.strictObject(
            {
              name: z.enum(["logits", "log_probs"], { error: '"logits" or "log_probs"' }),
              parameters: NO_PARAMETERS,
            },
            { error: objectMessage("an object: {name}") },
          ),
          { error: "a list of objects: {name}" },
        )
        .optional()
        .openapi({ description: "Which outputs to give. Default all: logits, and log_probs where there are targets." }),
    },
    { error: objectMessage("a JSON object") },
  )
  .openapi("InferRequest");
export type InferRequest = z.output<typeof InferRequest>;

const Tensor = z.object({
  name: z.string(),
  datatype: z.literal("FP32"),
  shape: z.array(z.int()),
  data: z.array(z.number()).openapi({ description: "Row-major." }),
});

export const InferReply = z
  .object({ model_name: z.string(), model_version: z.string(), id: z.string().optional(), outputs: z.array(Tensor) })
  .openapi("InferReply");

export const InferError = z.object({ error: z.string() }).openapi("InferError");

const TensorInfo = z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.int()) });
export const InferModel = z
  .object({
    name: z.string(),
    versions: z.array(z.string()),
    platform: z.string(),
    inputs: z.array(TensorInfo),
    outputs: z.array(TensorInfo),
    parameters: z
      .object({
        max_examples: z.int().nullable().optional(),
        trained_examples: z.int().nullable().optional(),
        interleave: z.literal(false).optional(),
      })
      .optional()
      .openapi({ description: "Of an in-context model, as GET /v1/models has them." }),
  })
  .openapi("InferModel");
