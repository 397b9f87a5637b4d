import { z } from "@hono/zod-openapi";
import { integer, text } from "./fields.ts";
import { objectMessage } from "./generation.ts";

/* The Open Inference Protocol for image models; inference.ts has the one for tokens. */

const shapeWhat = "[n, 3, height, width]";

export const PixelRequest = z
  .strictObject(
    {
      id: text.optional().openapi({ description: "Given back in the reply." }),
      inputs: z
        .tuple(
          [
            z.strictObject(
              {
                name: z.literal("pixels", { error: '"pixels": this model is fed images' }),
                datatype: z.enum(["FP32", "FP64"], { error: '"FP32" or "FP64"' }),
                shape: z.array(integer(1), { error: shapeWhat }).length(4, { error: shapeWhat }),
                data: z
                  .array(z.number({ error: "a finite number" }), { error: "a list of numbers, row-major" })
                  .openapi({
                    description: "Red, green and blue planes of each image, normalised as the model's training did.",
                  }),
              },
              { error: objectMessage("a tensor: {name, datatype, shape, data}") },
            ),
          ],
          { error: 'a list with the tensor "pixels"' },
        )
        .openapi({ description: '"pixels" are all that is fed.' }),
      outputs: z
        .tuple([z.strictObject({ name: z.literal("logits", { error: '"logits"' }) })], {
          error: 'a list with {name: "logits"}, or absent',
        })
        .optional()
        .openapi({ description: "Which outputs to give: there is one." }),
    },
    { error: objectMessage("a JSON object") },
  )
  .openapi("PixelInferRequest");
export type PixelRequest = z.output<typeof PixelRequest>;
