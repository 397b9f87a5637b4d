import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Model } from "../../engine/model.ts";
import { decodeSnapshot, restoreSnapshot, SNAPSHOT_MEDIA_TYPE, type Snapshot } from "../../engine/snapshot.ts";
import { type AppEnv, limitsOf } from "../env.ts";
import { ApiError, badValue } from "../http/api-error.ts";
import { readBytes } from "../http/body.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { packageSource } from "../models/package-source.ts";
import { ErrorReply, errorReplies, json } from "../schemas/common.ts";
import { Session } from "../schemas/session.ts";
import type { Services } from "../services.ts";
import { layerLengths } from "../sessions/layer-lengths.ts";
import { cutSnapshot, noSession, readSession, sessionReply, sessionStore } from "../sessions/sessions.ts";

/** Most bytes of a state that is sent here. */
const STATE_BYTES = 8 * 1024 * 1024;
const bytes = { [SNAPSHOT_MEDIA_TYPE]: { schema: z.string().openapi({ format: "binary" }) } };

/**
 * A session's state as bytes, to continue it elsewhere, and back.
 *
 * @example
 * curl localhost:8787/v1/sessions/$ID/state -o state.bin
 */
export function sessionStateRoutes({ catalog, pool }: Services): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  const params = z.object({ id: z.string() });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/sessions/{id}/state",
    summary: "The latest snapshot's bytes",
    request: { params },
    responses: {
      200: { description: "The snapshot; its id is the ETag", content: bytes },
      ...errorReplies,
      404: json(ErrorReply, "No such session, or nothing was appended to it yet"),
    },
  });
  app.openAPIRegistry.registerPath({
    method: "put",
    path: "/sessions/{id}/state",
    summary: "Replace the session's state by a snapshot from anywhere",
    request: {
      params,
      query: z.object({
        allow_other_quantization: z.enum(["true", "false"]).optional().openapi({
          description: "true takes a state that the same model made at another quantization.",
          default: "false",
        }),
      }),
      body: { required: true, content: bytes },
    },
    responses: {
      200: json(Session, "The session, with the snapshot as its latest"),
      ...errorReplies,
      404: json(ErrorReply, "No such session"),
      409: json(ErrorReply, "Another model's snapshot"),
      413: json(ErrorReply, "More than 8 MiB"),
      422: json(ErrorReply, "Not a snapshot, truncated or altered"),
    },
  });

  app.get("/sessions/:id/state", async (c) => {
    const id = c.req.param("id");
    const { snapshot } = await readSession(c.env, c.get("owner"), id);
    if (snapshot === undefined) {
      throw new ApiError({
        code: "no_state",
        message: `session ${id} is empty: append to it, or PUT a state, first`,
      });
    }
    return c.body(snapshot.bytes as Uint8Array<ArrayBuffer>, 200, {
      "content-type": SNAPSHOT_MEDIA_TYPE,
      "content-length": String(snapshot.bytes.byteLength),
      "cache-control": "no-store",
      etag: `"${snapshot.id}"`,
    });
  });

  app.put("/sessions/:id/state", async (c) => {
    const id = c.req.param("id");
    const owner = c.get("owner");
    const otherQuantization = allowsOtherQuantization(c);
    const store = sessionStore(c.env, id);
    const session = await store.info(owner);
    if (session === undefined) throw noSession(id);
    const sent = await readBytes(c.req.raw, STATE_BYTES);
    const snapshot = await decodeSnapshot(sent);
    const entry = await catalog.find(c.env, session.model);
    const options = { limits: limitsOf(c.env), signal: c.req.raw.signal };
    const lease = await pool.lease(entry.id, packageSource(c.env, entry), options);
    try {
      refuseOtherModel(lease.model, snapshot, otherQuantization);
      // Restoring checks every value; the sequence itself is not needed.
      restoreSnapshot(lease.model, snapshot, { otherQuantization }).dispose();
      const written = await store.put(owner, cutSnapshot(sent, snapshot, layerLengths(lease.model, snapshot.consumed)));
      if (written === undefined) throw noSession(id);
      c.get("record").snapshotBytes += sent.byteLength;
      return c.json(sessionReply(written.session));
    } finally {
      lease.release();
    }
  });
  app.all("/sessions/:id/state", methodNotAllowed("GET, PUT"));
  return app;
}

function allowsOtherQuantization(c: Context<AppEnv>): boolean {
  const name = "allow_other_quantization";
  const value = c.req.query(name) ?? "false";
  if (value === "true" || value === "false") return value === "true";
  throw badValue(name, `${name} is ${JSON.stringify(value)}: it must be true or false`);
}

function refuseOtherModel(model: Model, snapshot: Snapshot, otherQuantization: boolean): void {
  const { id, family } = model.manifest;
  if (snapshot.model === id) return;
  const sibling = snapshot.family === family;
  if (sibling && otherQuantization) return;
  throw new ApiError({
    code: sibling ? "snapshot_of_another_quantization" : "snapshot_of_another_model",
    message: sibling
      ? `the snapshot was made by ${snapshot.model}, the same model as ${id} at another quantization: add ?allow_other_quantization=true to continue it here`
      : `the snapshot was made by ${snapshot.model}, the session's model is ${id}: a state continues only on the model that made it`,
  });
}
