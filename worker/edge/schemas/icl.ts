import { z } from "@hono/zod-openapi";
import { boolean, text } from "./fields.ts";
import { objectMessage } from "./generation.ts";

const real = z.number({ error: "a finite number" });
const vector = z.array(real, { error: "a list of numbers" }).min(1, { error: "a list of at least one number" });

/* As the README has them: y is x1·x3. */
const [SEEN, ASKED] = [
  [1, -1, 1, 1, 1, -1, 1, 1, -1, 1],
  [1, 1, -1, 1, -1, 1, 1, -1, 1, 1],
];

const Example = z
  .strictObject(
    {
      x: vector.openapi({ description: "As many numbers as the model takes.", example: SEEN }),
      y: z
        .union([real, vector], { error: "a number, or a list of numbers" })
        .openapi({ description: "A list where what is predicted is a vector, of its length." }),
    },
    { error: objectMessage("an example: {x, y}") },
  )
  .openapi("IclExample");

export const IclRequest = z
  .strictObject(
    {
      model: text.nullish().openapi({
        description: "An in-context model. Not together with session.",
        example: "icl-sparse-parity-mamba",
      }),
      session: text.nullish().openapi({
        description: "A session of an in-context model: its examples so far come first, and these are added to it.",
      }),
      examples: z
        .array(Example, { error: "a list of examples: {x, y}" })
        .nullish()
        .openapi({ description: "What there is to learn from, in this order.", example: [{ x: SEEN, y: 1 }] }),
      query: z
        .array(vector, { error: "a list of vectors" })
        .nullish()
        .openapi({
          description: "Each is asked after all examples, by itself. It leaves no trace in a session.",
          example: [ASKED],
        }),
      standardize: boolean.nullish().openapi({
        description:
          "Brings data of any scale, of up to as many numbers an x as the model takes, to what models of linear regression were trained on, and predictions back. Not with a session.",
        default: false,
      }),
    },
    { error: objectMessage("a JSON object") },
  )
  .openapi("IclRequest");

const Moments = z.object({ mean: z.number(), deviation: z.number() });

const Prediction = z.union([z.number(), z.array(z.number())]);

export const IclReply = z
  .object({
    object: z.literal("icl.predictions"),
    model: z.string(),
    predictions: z.array(Prediction).openapi({ description: "One for each vector of query." }),
    before: z
      .array(Prediction)
      .openapi({ description: "What was predicted of each example of this request before its y was seen." }),
    usage: z.object({
      examples: z.int().openapi({ description: "That the predictions rest on." }),
      cached_examples: z.int().openapi({ description: "Of these, from the session's state: not computed again." }),
      computed_positions: z.int().openapi({ description: "Two an example, one a query." }),
      state_bytes: z.int().openapi({ description: "Of what the model remembers; with attention it grows." }),
      max_examples: z
        .int()
        .nullable()
        .openapi({ description: "That the model's attention holds with a query behind them; null without." }),
      trained_examples: z
        .int()
        .nullable()
        .openapi({ description: "Before a question, at most, while it was trained; null where that is not known." }),
    }),
    standardized: z
      .object({
        x: z.array(Moments).openapi({ description: "Of each number of x; one of deviation 0 is not used." }),
        y: Moments,
        rest: z.enum(["spread", "noise"]).openapi({ description: "What fills the numbers that x does not have." }),
      })
      .optional()
      .openapi({ description: "How the examples were scaled, where standardize asked for it." }),
    note: z
      .string()
      .optional()
      .openapi({ description: "Where there are more examples than the model was trained with: that it may be worse." }),
    session: z.string().optional(),
    snapshot: z.string().optional(),
    forked_from: z.string().optional(),
  })
  .openapi("IclReply");
export type IclReply = z.output<typeof IclReply>;
