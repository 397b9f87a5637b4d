import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { name, version } from "../../../package.json";
import type { AppEnv } from "../env.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { json } from "../schemas/common.ts";

const Index = z.object({ name: z.string(), version: z.string(), endpoints: z.array(z.string()) }).openapi("Index");
const Health = z.object({ status: z.literal("ok") }).openapi("Health");

/** All that the page needs is here, its Web Worker is part of the client's file, and its models may lie at other places. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self' https:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

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
    summary: "Name, version and endpoints; for browsers the playground",
    responses: { 200: json(Index, "The index") },
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/healthz",
    summary: "Whether the Worker runs; no model is touched",
    responses: { 200: json(Health, "It runs") },
  });
  app.get("/", async (c) => {
    const page = c.req.header("accept")?.includes("text/html") ? await playground(c) : undefined;
    const reply = page ?? c.json({ name, version, endpoints: endpoints() });
    reply.headers.append("vary", "accept");
    return reply;
  });
  app.get("/healthz", (c) => c.json({ status: "ok" }, 200, { "cache-control": "no-store" }));
  app.all("/", methodNotAllowed("GET"));
  app.all("/healthz", methodNotAllowed("GET"));
  return app;
}

/** The built page; undefined where `npm run build` has not made it. */
async function playground(c: Context<AppEnv>): Promise<Response | undefined> {
  const asset = await c.env.ASSETS.fetch(new URL("/", c.req.url));
  if (!asset.ok) {
    await asset.body?.cancel();
    return undefined;
  }
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": PAGE_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
  };
  return new Response(asset.body, { headers });
}
