import { z } from "@hono/zod-openapi";
import { integer, text } from "./fields.ts";
import { objectMessage } from "./generation.ts";

/* The Open Inference Protocol for models that are fed vectors; inference.ts has the one for tokens. */

const row = z.array(z.number({ error: "a finite number" }), { error: "a list of numbers" });
const rowsWhat = "a list of numbers, row by row, or lists of rows as the shape says";
const shapeWhat = "[n, inputs] or [1, n, inputs]";

export const VectorRequest = z
  .strictObject(
    {
      id: text.optional().openapi({ description: "Given back in the reply." }),
      parameters: z
        .strictObject(
          {
            positions: z.enum(["last", "all"], { error: '"last" or "all"' }).optional().openapi({
              description: "Of the outputs: after the last vector, [1, outputs], or after each, [1, n, outputs].",
            }),
          },
          { error: objectMessage("an object") },
        )
        .optional()
        .openapi({ description: "Of which positions there are outputs." }),
      inputs: z
        .tuple(
          [
            z.strictObject(
              {
                name: z.literal("vectors", { error: '"vectors": this model is fed vectors' }),
                datatype: z.enum(["FP32", "FP64"], { error: '"FP32" or "FP64"' }),
                shape: z
                  .array(integer(1), { error: shapeWhat })
                  .min(2, { error: shapeWhat })
                  .max(3, { error: `${shapeWhat}: one sequence a request` }),
                data: z.union([row, z.array(row), z.array(z.array(row)).length(1)], { error: rowsWhat }),
              },
              { error: objectMessage("a tensor: {name, datatype, shape, data}") },
            ),
          ],
          { error: 'a list with the tensor "vectors"' },
        )
        .openapi({ description: '"vectors" are all that is fed.' }),
      outputs: z
        .tuple([z.strictObject({ name: z.literal("outputs", { error: '"outputs"' }) })], {
          error: 'a list with {name: "outputs"}, or absent',
        })
        .optional()
        .openapi({ description: "Which outputs to give: there is one." }),
    },
    { error: objectMessage("a JSON object") },
  )
  .openapi("VectorInferRequest");
export type VectorRequest = z.output<typeof VectorRequest>;
