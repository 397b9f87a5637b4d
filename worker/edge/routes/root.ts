import { OpenAPIHono, z } from "@hono/zod-openapi";
import { name, version } from "../../../package.json";
import type { AppEnv } from "../env.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { json } from "../schemas/common.ts";

const Index = z.object({ name: z.string(), version: z.string(), endpoints: z.array(z.string()) }).openapi("Index");
const Health = z.object({ status: z.literal("ok") }).openapi("Health");

/**
 * What needs no key: an index, and whether the Worker runs.
 *
 * @example
 * curl localhost:8787/healthz
 */
export function rootRoutes(endpoints: () => string[]): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/",
    summary: "Name, version and endpoints",
    responses: { 200: json(Index, "The index") },
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/healthz",
    summary: "Whether the Worker runs; no model is touched",
    responses: { 200: json(Health, "It runs") },
  });
  app.get("/", (c) => c.json({ name, version, endpoints: endpoints() }));
  app.get("/healthz", (c) => c.json({ status: "ok" }, 200, { "cache-control": "no-store" }));
  app.all("/", methodNotAllowed("GET"));
  app.all("/healthz", methodNotAllowed("GET"));
  return app;
}
