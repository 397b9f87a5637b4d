import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { AppEnv } from "../env.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { docsPage } from "./root-docs-page.ts";

/**
 * A page that lists the endpoints and lets one try them. It loads nothing from elsewhere, and is told so.
 *
 * @example
 * open http://localhost:8787/docs
 */
export function docsRoutes(): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/docs",
    summary: "These endpoints as a page to try them in",
    responses: { 200: { description: "The page", content: { "text/html": { schema: z.string() } } } },
  });
  app.get("/docs", (c) => {
    const nonce = crypto.randomUUID();
    const policy = [
      "default-src 'none'",
      `script-src 'nonce-${nonce}'`,
      `style-src 'nonce-${nonce}'`,
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ];
    return c.html(docsPage(nonce), 200, {
      "content-security-policy": policy.join("; "),
      "cross-origin-opener-policy": "same-origin",
      "cache-control": "no-store",
    });
  });
  app.all("/docs", methodNotAllowed("GET"));
  return app;
}
