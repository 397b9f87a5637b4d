import { OpenAPIHono, z } from "@hono/zod-openapi";
import { decodeSnapshot } from "../../engine/snapshot.ts";
import type { AppEnv } from "../env.ts";
import { CutOff } from "../generation/cut-off.ts";
import { respond } from "../generation/respond.ts";
import { startGeneration } from "../generation/start-generation.ts";
import { badValue } from "../http/api-error.ts";
import { readJson } from "../http/body.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { ErrorReply, errorReplies, json } from "../schemas/common.ts";
import { Completion } from "../schemas/completion.ts";
import { AppendRequest } from "../schemas/session.ts";
import type { Services } from "../services.ts";
import { sessionMarks } from "../sessions/session-marks.ts";
import { readSession } from "../sessions/sessions.ts";
import { storeAppend } from "../sessions/store-append.ts";

/**
 * Goes on with a session: text or tokens are fed to the stored state, and more is generated. The state is stored before the reply ends.
 *
 * @example
 * curl localhost:8787/v1/sessions/$ID/append -d '{"text":" and then","max_tokens":32}'
 */
export function appendRoutes({ catalog, pool }: Services): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/sessions/{id}/append",
    summary: "Append to a session and generate",
    request: {
      params: z.object({ id: z.string() }),
      body: { content: { "application/json": { schema: AppendRequest } } },
    },
    responses: {
      200: json(Completion, "The completion with session and snapshot; with stream, server-sent events"),
      ...errorReplies,
      404: json(ErrorReply, "No such session, or its model is no longer served"),
    },
  });

  app.post("/sessions/:id/append", async (c) => {
    const body = await readJson(c.req.raw, AppendRequest);
    const prompt = body.text ?? body.tokens ?? undefined;
    if (body.text != null && body.tokens != null)
      throw badValue("tokens", "text and tokens are both given: send one of them");
    if (prompt === undefined && body.max_tokens === 0) {
      throw badValue("max_tokens", "max_tokens is 0 and there is no text: give text to append, or ask for tokens");
    }
    const { session, snapshot } = await readSession(
      c.env,
      c.get("owner"),
      c.req.param("id"),
      body.snapshot ?? undefined,
    );
    if (prompt === undefined && snapshot === undefined) {
      throw badValue(
        "text",
        `session ${session.id} is empty, there is nothing to go on from: give text or tokens`,
        "missing_field",
      );
    }
    const entry = await catalog.find(c.env, session.model, "text", body.tokens == null ? "text" : "tokens");
    const client = c.req.raw.signal;
    const cut = body.on_disconnect === "keep" ? new CutOff(client) : undefined;
    const record = c.get("record");
    const generation = await startGeneration(c.env, pool, {
      entry,
      prompt,
      param: body.tokens == null ? "text" : "tokens",
      fields: body,
      snapshot: snapshot && (await decodeSnapshot(snapshot.bytes)),
      ...(body.stop_token_ids && { endTokens: new Set(body.stop_token_ids) }),
      keepHeld: true,
      marks: sessionMarks(c.env, session.owner, session.id, snapshot?.id, record),
      signal: cut?.signal ?? client,
      enough: cut?.enough,
      record,
    });
    return respond(c, generation, {
      stream: body.stream === true,
      includeUsage: body.stream_options?.include_usage === true,
      usageSoFar: body.stream_options?.continuous_usage_stats === true,
      cut,
      store: () => {
        if (cut === undefined) client.throwIfAborted();
        return record.time("store", () => storeAppend(c.env, session, snapshot?.id, generation.sequence, record));
      },
    });
  });
  app.all("/sessions/:id/append", methodNotAllowed("POST"));
  return app;
}
