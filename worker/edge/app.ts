import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { name, version } from "../../package.json";
import type { AppEnv } from "./env.ts";
import { ApiError } from "./http/api-error.ts";
import { refusePublishable, requireKey } from "./http/auth.ts";
import { browsers } from "./http/browsers.ts";
import { methodNotAllowed } from "./http/method-not-allowed.ts";
import { nearPath } from "./http/near-path.ts";
import { outliveClient } from "./http/outlive-client.ts";
import { toApiError } from "./http/to-api-error.ts";
import { createMetrics } from "./ops/metrics.ts";
import { metricsRoutes } from "./ops/metrics-routes.ts";
import { observe } from "./ops/observe.ts";
import { rateLimit } from "./ops/rate-limit.ts";
import { appendRoutes } from "./routes/append.ts";
import { chatCompletionsRoutes } from "./routes/chat-completions.ts";
import { completionsRoutes } from "./routes/completions.ts";
import { healthRoutes } from "./routes/health.ts";
import { iclRoutes } from "./routes/icl.ts";
import { imageRoutes } from "./routes/images.ts";
import { inferenceRoutes } from "./routes/inference.ts";
import { modelsRoutes } from "./routes/models.ts";
import { responsesRoutes } from "./routes/responses.ts";
import { rootRoutes } from "./routes/root.ts";
import { docsRoutes } from "./routes/root-docs.ts";
import { sessionStateRoutes } from "./routes/session-state.ts";
import { sessionsRoutes } from "./routes/sessions.ts";
import { storedResponsesRoutes } from "./routes/stored-responses.ts";
import { weightsRoutes } from "./routes/weights.ts";
import type { Services } from "./services.ts";

/**
 * The HTTP surface. Static assets are answered before it is asked, where run_worker_first does not say otherwise.
 *
 * @example
 * export default { fetch: createApp({ catalog: createCatalog(), pool: createModelPool(backend) }).fetch };
 */
export function createApp(services: Services): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  const metrics = createMetrics();
  app.use("*", observe(metrics));
  app.use("*", browsers());
  app.use("/metrics", requireKey("admin"));
  for (const path of ["/v1/*", "/v2/models/*"]) app.use(path, requireKey("infer"), rateLimit(), outliveClient());
  app.get("/v1/sessions", refusePublishable());

  app.route("/", rootRoutes(endpoints));
  app.route("/v1", modelsRoutes(services));
  app.route("/v1", completionsRoutes(services));
  app.route("/v1", chatCompletionsRoutes(services));
  app.route("/v1", responsesRoutes(services));
  app.route("/v1", storedResponsesRoutes());
  app.route("/v1", sessionsRoutes(services));
  app.route("/v1", appendRoutes(services));
  app.route("/v1", sessionStateRoutes(services));
  app.route("/v1", iclRoutes(services));
  app.route("/v1", imageRoutes(services));
  app.route("/v2", healthRoutes(services));
  app.route("/v2", inferenceRoutes(services));
  app.route("/", metricsRoutes(services, metrics));
  app.route("/", docsRoutes());
  app.route("/", weightsRoutes());
  app.openAPIRegistry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer" });
  app.doc31("/openapi.json", { openapi: "3.1.0", info: { title: name, version }, security: [{ bearer: [] }] });
  app.all("/openapi.json", methodNotAllowed("GET"));

  app.notFound((c) => {
    const { method, path } = c.req;
    const near = nearPath(method, path, endpoints());
    const meant =
      near === undefined ? "" : ` did you mean ${near}? The base URL of an OpenAI client ends in /v1, without a slash.`;
    const message = `${method} ${path}: there is nothing here;${meant} GET / lists the endpoints`;
    return failed(c, new ApiError({ code: "not_found", message }));
  });
  app.onError((error, c) => failed(c, error instanceof HTTPException ? fromHono(error) : error));
  return app;

  function endpoints(): string[] {
    return app.openAPIRegistry.definitions.flatMap((d) =>
      d.type === "route" ? [`${d.route.method.toUpperCase()} ${d.route.path}`] : [],
    );
  }
}

function failed(c: Context<AppEnv>, error: unknown): Response {
  // Nobody is there to read it: as nginx says, 499.
  if (c.req.raw.signal.aborted) return new Response(null, { status: 499 });
  const { status, body, headers } = toApiError(error, `${c.req.method} ${c.req.path}`);
  // The Open Inference Protocol has its own form.
  return c.json(/^\/v2(\/|$)/.test(c.req.path) ? { error: body.error.message } : body, status, headers);
}

/** Hono throws its own for what it cannot parse. */
function fromHono(error: HTTPException): unknown {
  return error.status < 500 ? new ApiError({ code: "bad_request", message: error.message }) : error;
}
