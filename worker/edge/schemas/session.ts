import { z } from "@hono/zod-openapi";
import { integer, text, tokenList } from "./fields.ts";
import { formatFields } from "./format.ts";
import { generationFields, ignoredFields, objectMessage } from "./generation.ts";
import { pageOf } from "./page.ts";

export const SessionRequest = z
  .strictObject(
    {
      model: text.nullish().openapi({
        description: "A model's name, or its id (name@hash), of text or in-context. Default the first one of text.",
      }),
      metadata: ignoredFields.metadata,
      user: ignoredFields.user,
    },
    { error: objectMessage("a JSON object") },
  )
  .openapi("SessionRequest");

export const AppendRequest = z
  .strictObject(
    {
      text: text
        .min(1, { error: "a text of at least one character; leave it out to go on" })
        .nullish()
        .openapi({ description: "What goes first. Special tokens spelled in it stay text." }),
      tokens: tokenList.nullish().openapi({ description: "The same as token ids. Not together with text." }),
      snapshot: text.nullish().openapi({
        description:
          "The retained snapshot to go on from. When it is not the latest one, the result is a session of its own. Default the latest.",
      }),
      ...generationFields,
      ...formatFields,
      stop_token_ids: z
        .array(integer(0), { error: "a list of at most 16 token ids" })
        .max(16, { error: "a list of at most 16 token ids" })
        .nullish()
        .openapi({
          description:
            "Tokens that end the reply as <|endoftext|> does, such as the one that a chat template writes after it.",
        }),
      on_disconnect: z.enum(["discard", "keep"], { error: '"discard" or "keep"' }).nullish().openapi({
        description:
          "What becomes of an append whose client goes away: nothing of it is stored, or (keep) all that was generated until then.",
        default: "discard",
      }),
      ...ignoredFields,
    },
    { error: objectMessage("a JSON object") },
  )
  .openapi("AppendRequest", {
    description:
      "text or tokens go first, then max_tokens are generated; 0 only appends. With neither it goes on generating.",
  });

export const ForkRequest = z
  .strictObject(
    {
      snapshot: text.nullish().openapi({ description: "One of the session's retained snapshots. Default the latest." }),
    },
    { error: objectMessage("a JSON object") },
  )
  .openapi("ForkRequest");

export const Session = z
  .object({
    id: z.string().openapi({ example: "sess_5f0c…" }),
    object: z.literal("session"),
    model: z.string(),
    tokens: z.int().openapi({ description: "Of the latest snapshot." }),
    snapshot: z.string().nullable().openapi({ description: "The latest; null while nothing was appended." }),
    snapshots: z
      .array(z.object({ id: z.string(), tokens: z.int(), created: z.int() }))
      .openapi({ description: "Those retained, the latest first." }),
    forked_from: z.string().nullable(),
    created: z.int(),
    expires: z.int().openapi({ description: "Unix seconds; moves on with every use." }),
  })
  .openapi("Session");
export type Session = z.output<typeof Session>;

export const SessionList = pageOf(Session).openapi("SessionList");
export type SessionList = z.output<typeof SessionList>;
