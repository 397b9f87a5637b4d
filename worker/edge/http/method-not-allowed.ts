import type { Context } from "hono";
import { ApiError } from "./api-error.ts";

/**
 * Answers the methods that a path does not have. Registered after those it has.
 *
 * @example
 * app.get("/healthz", health).all("/healthz", methodNotAllowed("GET"));
 */
export function methodNotAllowed(allow: string): (c: Context) => never {
  return function refuseMethod(c) {
    throw new ApiError({
      code: "method_not_allowed",
      message: `${c.req.method} ${c.req.path}: this path answers ${allow}`,
      headers: { allow },
    });
  };
}
