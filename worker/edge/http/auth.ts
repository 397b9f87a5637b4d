import type { Context, MiddlewareHandler } from "hono";
import type { AppEnv } from "../env.ts";
import { ApiError } from "./api-error.ts";
import type { ErrorCode } from "./error-codes.ts";
import { type Key, parseKeys, type Scope, sha256 } from "./keys.ts";

const LOCAL = new Set(["localhost", "127.0.0.1", "[::1]"]);
const HEADER = "authorization: Bearer YOUR_KEY";
const SET_KEYS =
  "`npx wrangler secret put API_KEYS` sets the keys of a deployment, a line API_KEYS=YOUR_KEY in .dev.vars those of `npm start`";
/** Of sessions made where no keys are set. */
const NOBODY = "local";

/**
 * Lets requests pass whose key is one of env.API_KEYS and has the scope, and says who their sessions belong to. Without keys only
 * requests to this machine pass.
 *
 * @example
 * app.use("/v1/*", requireKey("infer"));
 */
export function requireKey(scope: Scope): MiddlewareHandler<AppEnv> {
  /** The keys as they were last read: reading them hashes the plain ones. */
  let read: { readonly list: string; readonly keys: readonly Key[] } | undefined;
  /** Said once. */
  let warned = false;

  return async function authenticate(c, next) {
    const list = c.env.API_KEYS ?? "";
    if (read?.list !== list) read = { list, keys: await configuredKeys(list) };
    if (read.keys.length === 0) {
      if (!LOCAL.has(new URL(c.req.url).hostname)) {
        throw refused(
          `no API keys are set here, so only requests to localhost are answered, and this one was to ${new URL(c.req.url).hostname}: ${SET_KEYS}, and send one as ${HEADER}`,
        );
      }
      if (!warned && scope === "infer") console.warn("no API_KEYS are set: every request to this machine is served");
      warned = true;
      c.set("owner", NOBODY);
      return next();
    }
    const header = c.req.header("authorization");
    const given = /^Bearer +(\S+) *$/i.exec(header ?? "")?.[1];
    if (given === undefined) {
      const seen = header === undefined ? "no API key was sent" : "the authorization header is not Bearer and one key";
      throw refused(`${seen}: send one of this deployment's keys as ${HEADER}. Who runs it: ${SET_KEYS}`);
    }
    const key = await keyOf(given, read.keys);
    if (key === undefined) {
      throw refused(`the API key that was sent is none of this deployment's: check it. Who runs it: ${SET_KEYS}`);
    }
    c.get("record").key = key.name;
    c.set("key", key);
    if (!key.scopes.includes(scope)) {
      throw forbidden(
        "insufficient_scope",
        `key ${key.name} has the scope ${key.scopes.join(", ")}: ${c.req.path} needs a key with the scope ${scope}`,
      );
    }
    checkOrigin(c, key);
    c.set("owner", await ownerOf(given));
    // What a key may do less than the deployment holds for all that serves its request.
    if (key.maxTokens !== undefined) {
      const deployment = Number(c.env.MAX_TOKENS || Number.POSITIVE_INFINITY);
      c.env = { ...c.env, MAX_TOKENS: Math.min(key.maxTokens, deployment) };
    }
    // A visitor of a page would see from cached_tokens what another one has said.
    if (key.publishable) c.env = { ...c.env, PREFIX_STORE: "off" };
    return next();
  };
}

/**
 * Refuses a publishable key: who uses it are many people, and what one of them made is found by its id alone.
 *
 * @example
 * app.get("/v1/sessions", refusePublishable());
 */
export function refusePublishable(): MiddlewareHandler<AppEnv> {
  return async function refuseVisitors(c, next) {
    const key = c.get("key");
    if (key?.publishable !== true) return next();
    throw forbidden(
      "insufficient_scope",
      `key ${key.name} is publishable: its visitors may not see each other's, so ${c.req.path} has no list for it`,
    );
  };
}

/** @throws ApiError 500 when the list cannot be read: a mistake in it must lock the door, and the log says what it is */
async function configuredKeys(list: string): Promise<readonly Key[]> {
  try {
    return await parseKeys(list);
  } catch (error) {
    console.error(JSON.stringify({ level: "error", kind: "configuration", detail: (error as Error).message }));
    throw new ApiError({
      code: "configuration_error",
      message: "this deployment's API_KEYS cannot be read, so it answers nobody: its log says what is wrong with them",
    });
  }
}

/** Compares hashes, and all of them, so that the time taken says nothing about the keys. */
async function keyOf(given: string, keys: readonly Key[]): Promise<Key | undefined> {
  const digest = await sha256(given);
  const same = keys.map((key) => crypto.subtle.timingSafeEqual(key.digest, digest));
  return keys[same.indexOf(true)];
}

/** A browser says itself where a page comes from; other callers can say what they like, so this is no secret's stead. */
function checkOrigin(c: Context<AppEnv>, key: Key): void {
  if (key.origins === undefined) return;
  // A page's GETs to its own origin carry no Origin.
  const own = c.req.header("sec-fetch-site") === "same-origin" ? new URL(c.req.url).origin : undefined;
  const origin = c.req.header("origin") ?? own;
  if (origin !== undefined && key.origins.includes(origin)) return;
  throw forbidden(
    "origin_not_allowed",
    `key ${key.name} may not be used from ${origin ?? "outside of pages"}: use it in a page that it is meant for, or another key`,
  );
}

/** Stored beside sessions: the prefix keeps it from being the hash that other systems may store of the same key. */
async function ownerOf(key: string): Promise<string> {
  return [...(await sha256(`mamba-edge session owner\n${key}`))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

function refused(message: string): ApiError {
  return new ApiError({ code: "invalid_api_key", message, headers: { "www-authenticate": "Bearer" } });
}

function forbidden(code: ErrorCode, message: string): ApiError {
  return new ApiError({ code, message });
}
