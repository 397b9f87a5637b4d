import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { AppEnv } from "../env.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { ErrorReply, json } from "../schemas/common.ts";
import type { Services } from "../services.ts";
import type { Metrics } from "./metrics.ts";

/** Prometheus's text format. */
const MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/**
 * The counters of the isolate that answers.
 *
 * @example
 * curl localhost:8787/metrics -H "authorization: Bearer $ADMIN_KEY"
 */
export function metricsRoutes({ pool }: Services, metrics: Metrics): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/metrics",
    summary: "Counters of this isolate, for Prometheus; needs the scope admin",
    responses: {
      200: { description: "The counters", content: { [MEDIA_TYPE]: { schema: z.string() } } },
      401: json(ErrorReply, "No API key, or a wrong one"),
      403: json(ErrorReply, "A key without the scope admin"),
    },
  });
  app.get("/metrics", (c) =>
    c.body(metrics.render(pool.stats()), 200, { "content-type": MEDIA_TYPE, "cache-control": "no-store" }),
  );
  app.all("/metrics", methodNotAllowed("GET"));
  return app;
}
