import type { MiddlewareHandler } from "hono";
import type { AppEnv } from "../env.ts";
import { ApiError } from "./api-error.ts";

const LOCAL = new Set(["localhost", "127.0.0.1", "[::1]"]);
/** Said once an isolate. */
let warned = false;
/** Of sessions made where no keys are set. */
const NOBODY = "local";

/**
 * Lets requests with one of env.API_KEYS pass, and says who their sessions belong to. Without keys only requests to this machine pass.
 *
 * @example
 * app.use("/v1/*", bearerAuth());
 */
export function bearerAuth(): MiddlewareHandler<AppEnv> {
  return async function requireKey(c, next) {
    const keys = (c.env.API_KEYS ?? "")
      .split(",")
      .map((key) => key.trim())
      .filter((key) => key !== "");
    if (keys.length === 0) {
      if (!LOCAL.has(new URL(c.req.url).hostname)) {
        throw refused("this deployment has no API keys, so it answers nobody: run `wrangler secret put API_KEYS`");
      }
      if (!warned) console.warn("no API_KEYS are set: every request to this machine is served");
      warned = true;
      c.set("owner", NOBODY);
      return next();
    }
    const given = /^Bearer +(\S+) *$/i.exec(c.req.header("authorization") ?? "")?.[1];
    if (given === undefined) throw refused('no API key was sent: add the header "authorization: Bearer YOUR_KEY"');
    if (!(await isOneOf(given, keys))) throw refused("the API key is not one of this deployment's: check it");
    c.set("owner", await ownerOf(given));
    return next();
  };
}

/** Compares hashes, and all of them, so that the time taken says nothing about the keys. */
async function isOneOf(given: string, keys: readonly string[]): Promise<boolean> {
  const digest = await sha256(given);
  const digests = await Promise.all(keys.map(sha256));
  return digests.map((d) => crypto.subtle.timingSafeEqual(d, digest)).includes(true);
}

/** Stored beside sessions: the prefix keeps it from being the hash that other systems may store of the same key. */
async function ownerOf(key: string): Promise<string> {
  return [...new Uint8Array(await sha256(`mamba-edge session owner\n${key}`))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

function sha256(text: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
}

function refused(message: string): ApiError {
  return new ApiError({ status: 401, code: "invalid_api_key", message, headers: { "www-authenticate": "Bearer" } });
}
