import type { MiddlewareHandler } from "hono";

/**
 * Lets a request's work come to its own end when the client goes away. Without it the runtime stops such a request between two
 * statements: no `finally` would run, and a borrowed model would stay borrowed. The request's signal still ends the work early.
 *
 * @example
 * app.use("/v1/*", outliveClient());
 */
export function outliveClient(): MiddlewareHandler {
  return async function waitUntilDone(c, next) {
    const work = next();
    c.executionCtx.waitUntil(work.catch(() => {}));
    await work;
  };
}
