import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { AppEnv } from "../env.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import type { CatalogEntry } from "../models/catalog.ts";
import { ErrorReply, errorReplies, json, ModelInfo } from "../schemas/common.ts";
import type { Services } from "../services.ts";

const ModelList = z.object({ object: z.literal("list"), data: z.array(ModelInfo) }).openapi("ModelList");

/**
 * The models that are served, in OpenAI's shape.
 *
 * @example
 * curl localhost:8787/v1/models/mamba-tiny
 */
export function modelsRoutes({ catalog }: Services): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/models",
    summary: "List the models",
    responses: { 200: json(ModelList, "The models, the built-in ones first"), ...errorReplies },
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/models/{id}",
    summary: "One model, by name or id",
    request: { params: z.object({ id: z.string() }) },
    responses: { 200: json(ModelInfo, "The model"), ...errorReplies, 404: json(ErrorReply, "No such model") },
  });

  app.get("/models", async (c) => {
    const data = (await catalog.list(c.env)).map(modelInfo);
    return c.json({ object: "list", data });
  });
  app.get("/models/:id", async (c) => c.json(modelInfo(await catalog.find(c.env, c.req.param("id")))));
  app.all("/models", methodNotAllowed("GET"));
  app.all("/models/:id", methodNotAllowed("GET"));
  return app;
}

function modelInfo({ store, ...entry }: CatalogEntry): z.output<typeof ModelInfo> {
  return {
    object: "model",
    owned_by: "mamba-edge",
    ...entry,
    weights_url: store === "assets" ? `/weights/${entry.id}/` : null,
  };
}
