import { OpenAPIHono, z } from "@hono/zod-openapi";
import { name, version } from "../../../package.json";
import type { AppEnv } from "../env.ts";
import { ApiError } from "../http/api-error.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { json } from "../schemas/common.ts";
import { InferError } from "../schemas/inference.ts";
import type { Services } from "../services.ts";

const Server = z
  .object({ name: z.string(), version: z.string(), extensions: z.array(z.string()) })
  .openapi("InferServer");

/**
 * The Open Inference Protocol's view of the server. It needs no key: probes have none.
 *
 * @example
 * curl localhost:8787/v2/health/ready
 */
export function healthRoutes({ catalog }: Services): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  const paths = [
    { path: "", summary: "Name, version and extensions of the server", schema: Server },
    { path: "/health/live", summary: "Whether the server runs", schema: z.object({ live: z.literal(true) }) },
    { path: "/health/ready", summary: "Whether it has models to serve", schema: z.object({ ready: z.literal(true) }) },
  ];
  for (const { path, summary, schema } of paths) {
    app.openAPIRegistry.registerPath({
      method: "get",
      path,
      summary,
      responses: { 200: json(schema, "It is so"), 503: json(InferError, "It is not") },
    });
  }
  app.get("/", (c) => c.json({ name, version, extensions: [] }));
  app.get("/health/live", (c) => c.json({ live: true }));
  app.get("/health/ready", async (c) => {
    if ((await catalog.list(c.env)).length > 0) return c.json({ ready: true });
    throw new ApiError({
      code: "no_models",
      message: "this deployment has no models: put packages into weights/models or the bucket and build again",
    });
  });
  for (const path of ["/", "/health/live", "/health/ready"]) app.all(path, methodNotAllowed("GET"));
  return app;
}
