import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { AppEnv } from "../env.ts";
import { readJson } from "../http/body.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { ErrorReply, errorReplies, json } from "../schemas/common.ts";
import { pageParameters, pageQuery } from "../schemas/page.ts";
import { ForkRequest, Session, SessionList, SessionRequest } from "../schemas/session.ts";
import type { Services } from "../services.ts";
import type { SessionInfo } from "../sessions/session-store.ts";
import { createSession, noSession, readSession, SESSION_ID, sessionReply, sessionStore } from "../sessions/sessions.ts";

const params = z.object({ id: z.string() });
const notFound = { 404: json(ErrorReply, "No such session, or snapshot") };

/**
 * Sessions: made, listed, looked at, forked, deleted. Appending and raw states have files of their own.
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
    path: "/sessions",
    summary: "The key's sessions, the newest first",
    request: { query: pageParameters },
    responses: { 200: json(SessionList, "A page of them"), ...errorReplies },
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
    const entry = await catalog.find(c.env, body.model ?? undefined, "session");
    const made = { owner: c.get("owner"), model: entry.id, forkedFrom: null };
    return c.json(sessionReply(await createSession(c.env, made)), 201);
  });

  app.get("/sessions", async (c) => {
    const owner = c.get("owner");
    const query = pageQuery(c, SESSION_ID);
    const { ids, more } = await c.env.SESSION_INDEXES.getByName(owner).page(query);
    const found = await Promise.all(
      ids.map((id) => sessionStore(c.env, id).info(owner) as Promise<SessionInfo | undefined>),
    );
    // One that was deleted this moment is left out.
    const data = found.filter((session) => session !== undefined).map(sessionReply);
    const page: SessionList = {
      object: "list",
      data,
      first_id: ids[0] ?? null,
      last_id: ids.at(-1) ?? null,
      has_more: more,
    };
    return c.json(page);
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
    const made = { owner: session.owner, model: session.model, forkedFrom: parent };
    return c.json(sessionReply(await createSession(c.env, made, snapshot)), 201);
  });

  app.delete("/sessions/:id", async (c) => {
    const id = c.req.param("id");
    if (!(await sessionStore(c.env, id).remove(c.get("owner")))) throw noSession(id);
    return c.body(null, 204);
  });

  app.all("/sessions", methodNotAllowed("GET, POST"));
  app.all("/sessions/:id/fork", methodNotAllowed("POST"));
  app.all("/sessions/:id", methodNotAllowed("GET, DELETE"));
  return app;
}
