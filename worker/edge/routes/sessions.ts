import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { AppEnv } from "../env.ts";
import { readJson } from "../http/body.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { ErrorReply, errorReplies, json } from "../schemas/common.ts";
import { ForkRequest, Session, SessionRequest } from "../schemas/session.ts";
import type { Services } from "../services.ts";
import { newSessionId, noSession, readSession, sessionReply, sessionStore } from "../sessions/sessions.ts";

const params = z.object({ id: z.string() });
const notFound = { 404: json(ErrorReply, "No such session, or snapshot") };

/**
 * Sessions: made, looked at, forked, deleted. Appending and raw states have files of their own.
 *
 * @example
 * curl -X POST localhost:8787/v1/sessions -d '{}'
 */
export function sessionsRoutes({ catalog }: Services): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/sessions",
    summary: "Make an empty session",
    request: { body: { content: { "application/json": { schema: SessionRequest } } } },
    responses: { 201: json(Session, "The session"), ...errorReplies, 404: json(ErrorReply, "No such model") },
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/sessions/{id}",
    summary: "What a session holds",
    request: { params },
    responses: { 200: json(Session, "The session"), ...errorReplies, ...notFound },
  });
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/sessions/{id}/fork",
    summary: "Copy a session, from its latest snapshot or another retained one",
    request: { params, body: { content: { "application/json": { schema: ForkRequest } } } },
    responses: { 201: json(Session, "The new session"), ...errorReplies, ...notFound },
  });
  app.openAPIRegistry.registerPath({
    method: "delete",
    path: "/sessions/{id}",
    summary: "Delete a session and all its snapshots",
    request: { params },
    responses: { 204: { description: "Deleted" }, ...errorReplies, ...notFound },
  });

  app.post("/sessions", async (c) => {
    const body = await readJson(c.req.raw, SessionRequest);
    const entry = await catalog.find(c.env, body.model ?? undefined);
    const id = newSessionId();
    const made = { id, owner: c.get("owner"), model: entry.id, forkedFrom: null };
    return c.json(sessionReply(await sessionStore(c.env, id).create(made)), 201);
  });

  app.get("/sessions/:id", async (c) => {
    const id = c.req.param("id");
    const session = await sessionStore(c.env, id).info(c.get("owner"));
    if (session === undefined) throw noSession(id);
    return c.json(sessionReply(session));
  });

  app.post("/sessions/:id/fork", async (c) => {
    const parent = c.req.param("id");
    const { snapshot: wanted } = await readJson(c.req.raw, ForkRequest);
    const { session, snapshot } = await readSession(c.env, c.get("owner"), parent, wanted ?? undefined);
    const id = newSessionId();
    const made = { id, owner: session.owner, model: session.model, forkedFrom: parent };
    return c.json(sessionReply(await sessionStore(c.env, id).create(made, snapshot)), 201);
  });

  app.delete("/sessions/:id", async (c) => {
    const id = c.req.param("id");
    if (!(await sessionStore(c.env, id).remove(c.get("owner")))) throw noSession(id);
    return c.body(null, 204);
  });

  app.all("/sessions", methodNotAllowed("POST"));
  app.all("/sessions/:id/fork", methodNotAllowed("POST"));
  app.all("/sessions/:id", methodNotAllowed("GET, DELETE"));
  return app;
}
