import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { createApp } from "../../../worker/edge/app.ts";
import type { Env } from "../../../worker/edge/env.ts";
import { isolate } from "../../../worker/edge/isolate.ts";
import { ORIGIN } from "./client.ts";

export const app = createApp(isolate);
/** Leaves only a to z: a text whose tokens are those that were sampled. */
export const letters = Object.fromEntries(Array.from({ length: 26 }, (_, i) => [98 + i, 100]));
/** Tokens of <|end|>\n<|user|>\n, and of <|end|>\n<|assistant|>\n. */
export const FRAME = 4;

export type Variables = Partial<Env> & { key?: string; origin?: string };

/** Waits until all is kept that a request keeps. */
export async function send(
  method: string,
  url: string,
  body?: unknown,
  { key = "", origin, ...variables }: Variables = {},
) {
  const context = createExecutionContext();
  const init = {
    method,
    headers: { authorization: `Bearer ${key}`, ...(origin !== undefined && { origin }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  };
  const response = await app.fetch(new Request(`${ORIGIN}${url}`, init), { ...env, ...variables }, context);
  const text = await response.text();
  await waitOnExecutionContext(context);
  return new Response(text, response);
}
