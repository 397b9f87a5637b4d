import { Hono } from "hono";
import type { AppEnv } from "../env.ts";
import { privateWeights } from "../env.ts";
import { requireKey } from "../http/auth.ts";

/**
 * The packages' files, where wrangler.toml lets the Worker answer for them: with PRIVATE_WEIGHTS=1 only to who has a key. Otherwise the
 * CDN has answered before.
 *
 * @example
 * curl localhost:8787/weights/index.json -H "authorization: Bearer $KEY"
 */
export function weightsRoutes(): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  const guard = requireKey("infer");
  app.get("/weights/*", async (c) => {
    const isPrivate = privateWeights(c.env);
    if (isPrivate) await guard(c, async () => {});
    const asset = await c.env.ASSETS.fetch(c.req.raw);
    if (asset.status === 404) {
      await asset.body?.cancel();
      return c.notFound();
    }
    const response = new Response(asset.body, asset);
    if (isPrivate) {
      // Who may read it is for CORS_ORIGINS to say; a cache that many share may not keep it.
      response.headers.delete("access-control-allow-origin");
      const kept = response.headers.get("cache-control") ?? "no-store";
      response.headers.set("cache-control", kept.replace("public", "private"));
    }
    return response;
  });
  return app;
}
