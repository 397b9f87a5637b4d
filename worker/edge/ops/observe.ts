import type { Context, MiddlewareHandler } from "hono";
import { matchedRoutes } from "hono/route";
import type { AppEnv } from "../env.ts";
import type { Metrics, Outcome } from "./metrics.ts";
import { RequestRecord, STAGES } from "./request-record.ts";

/**
 * Counts and logs every request when it is over, streams included, and says in its reply how it can be found in the log and where its
 * time went. Registered before everything else.
 *
 * @example
 * app.use("*", observe(metrics));
 */
export function observe(metrics: Metrics): MiddlewareHandler<AppEnv> {
  return async function record(c, next) {
    const request = new RequestRecord();
    c.set("record", request);
    await next();
    c.res.headers.set("x-request-id", request.id);
    c.res.headers.set("server-timing", serverTiming(request));
    const outcome = { route: routeOf(c), method: c.req.method, status: c.res.status };
    request.whenIdle(() => {
      metrics.add(request, outcome);
      if ((c.env.LOG_LEVEL || "info") === "info") console.log(JSON.stringify(logLine(request, outcome)));
    });
  };
}

/** The path as it was registered; "none" where there is nothing but middleware. */
function routeOf(c: Context): string {
  const route = matchedRoutes(c).findLast(({ path }) => !path.endsWith("*"));
  return route?.path ?? "none";
}

/** The stages that are over when the reply begins. */
function serverTiming(request: RequestRecord): string {
  const stages = STAGES.filter((stage) => request.milliseconds[stage] > 0);
  const parts = stages.map((stage) => `${stage};dur=${Math.round(request.milliseconds[stage])}`);
  return [...parts, `total;dur=${Math.round(performance.now() - request.started)}`].join(", ");
}

/** No prompt, no text, no session: only what it took. */
function logLine(request: RequestRecord, { route, method, status }: Outcome): Record<string, unknown> {
  const { id, key, model, stream, tokens, milliseconds, snapshotBytes } = request;
  const rounded = Object.fromEntries(STAGES.map((stage) => [`${stage}_ms`, Math.round(milliseconds[stage])]));
  return {
    level: "info",
    kind: "request",
    id,
    method,
    route,
    status,
    ...(stream !== undefined && { stream }),
    ...(key !== undefined && { key }),
    ...(model !== undefined && {
      model,
      prompt_tokens: tokens.prompt,
      generated_tokens: tokens.generated,
      reused_tokens: tokens.reused,
      computed_tokens: tokens.computed,
      snapshot_bytes: snapshotBytes,
      ...rounded,
    }),
    ms: Math.round(performance.now() - request.started),
  };
}
