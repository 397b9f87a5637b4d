import { z } from "@hono/zod-openapi";

export const ClassificationReply = z
  .object({
    object: z.literal("image.classifications"),
    model: z.string(),
    data: z
      .array(
        z.object({
          index: z.int().openapi({ description: "Of the picture in the request." }),
          classes: z
            .array(
              z.object({
                index: z.int(),
                label: z.string().openapi({ description: "The class's name; its number where the model has none." }),
                score: z.number().openapi({ description: "Softmax over all classes." }),
              }),
            )
            .openapi({ description: "The best first." }),
          scans: z
            .object({
              height: z.int(),
              width: z.int(),
              values: z
                .array(z.number())
                .openapi({ description: "(4, height, width): how strongly each scan responded." }),
            })
            .optional()
            .openapi({ description: "Of the stage that `observe` names." }),
        }),
      )
      .openapi({ description: "One for each picture." }),
    timings: z.object({
      wall_milliseconds_across_io: z.object({
        decode: z.number(),
        model: z.number(),
        stages: z.array(z.object({ stage: z.string(), milliseconds: z.number() })),
      }),
    }),
  })
  .openapi("ImageClassifications");
export type ClassificationReply = z.output<typeof ClassificationReply>;
