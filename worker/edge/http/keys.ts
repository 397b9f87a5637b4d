import { z } from "@hono/zod-openapi";
import { boolean, integer, text } from "../schemas/fields.ts";
import { validate } from "./validate.ts";

/** infer: the models and sessions of /v1 and /v2. admin: /metrics. */
export type Scope = "infer" | "admin";

/** A key as it is configured. Of the key itself only the hash is known. */
export interface Key {
  readonly name: string;
  /** SHA-256 of the key. */
  readonly digest: Uint8Array;
  readonly scopes: readonly Scope[];
  /** stands in a page, so that who uses it is many people who do not know each other. */
  readonly publishable: boolean;
  /** pages that may use it; any caller may where it is absent. */
  readonly origins: readonly string[] | undefined;
  readonly requestsPerMinute: number | undefined;
  /** most tokens that a request may generate. */
  readonly maxTokens: number | undefined;
}

/** What a key that stands in a page may do, where it does not say. */
const PUBLISHABLE = { requests_per_minute: 20, max_tokens: 256 } as const;

const NamedKey = z.strictObject({
  name: text.regex(/^[\w.-]{1,64}$/, { error: "1 to 64 letters, digits, dots, dashes or underscores" }),
  sha256: text.regex(/^[0-9a-f]{64}$/i, { error: "the 64 hexadecimal digits of the key's SHA-256" }),
  scopes: z
    .array(z.enum(["infer", "admin"], { error: '"infer" or "admin"' }), { error: "a list of scopes" })
    .min(1, { error: 'a list of at least one scope, "infer" or "admin"' }),
  publishable: boolean.optional(),
  origins: z
    .array(text.refine(isOrigin, { error: 'an origin such as "https://example.com"' }), { error: "a list of origins" })
    .min(1, { error: "a list of at least one origin" })
    .optional(),
  requests_per_minute: integer(1, 1_000_000).optional(),
  max_tokens: integer(1).optional(),
});
const NamedKeys = z.object({ API_KEYS: z.array(NamedKey, { error: "a list of keys" }) });

/**
 * The keys of a deployment: a list of objects in JSON, or plain keys with commas between, which may do everything.
 *
 * @throws Error saying what is wrong with the list, without any of the keys
 * @example
 * await parseKeys('[{"name":"page","sha256":"9f86d0…","scopes":["infer"],"publishable":true,"origins":["https://example.com"]}]');
 */
export async function parseKeys(list: string): Promise<Key[]> {
  const keys = /^\s*[[{]/.test(list) ? namedKeys(list) : await plainKeys(list);
  for (const property of ["name", "digest"] as const) {
    const values = keys.map((key) => String(key[property]));
    const twice = values.findIndex((value, i) => values.indexOf(value) < i);
    if (twice >= 0) throw new Error(`API_KEYS[${twice}] has the ${property} of another key: each needs its own`);
  }
  return keys;
}

export async function sha256(value: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(value)));
}

function plainKeys(list: string): Promise<Key[]> {
  const keys = list
    .split(",")
    .map((key) => key.trim())
    .filter((key) => key !== "");
  const everything = { scopes: ["infer", "admin"], publishable: false, origins: undefined } as const;
  const unlimited = { requestsPerMinute: undefined, maxTokens: undefined };
  return Promise.all(
    keys.map(async (key, i) => ({ name: `key-${i + 1}`, digest: await sha256(key), ...everything, ...unlimited })),
  );
}

function namedKeys(list: string): Key[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(list);
  } catch {
    // The parser's own message repeats some of the text.
    throw new Error("API_KEYS begins like JSON and is none: give a list of objects, or plain keys with commas between");
  }
  return validate(NamedKeys, { API_KEYS: parsed }).API_KEYS.map((key, i) => {
    if (key.publishable === true && key.origins === undefined) {
      throw new Error(`API_KEYS[${i}] is publishable and has no origins: name the pages that may use it`);
    }
    if (key.publishable === true && key.scopes.includes("admin")) {
      throw new Error(
        `API_KEYS[${i}] is publishable and has the scope admin: a key that anyone can read may not have it`,
      );
    }
    const defaults = key.publishable === true ? PUBLISHABLE : undefined;
    return {
      name: key.name,
      digest: Uint8Array.from(key.sha256.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)),
      scopes: key.scopes,
      publishable: key.publishable === true,
      origins: key.origins,
      requestsPerMinute: key.requests_per_minute ?? defaults?.requests_per_minute,
      maxTokens: key.max_tokens ?? defaults?.max_tokens,
    };
  });
}

function isOrigin(value: string): boolean {
  return URL.canParse(value) && new URL(value).origin === value;
}
