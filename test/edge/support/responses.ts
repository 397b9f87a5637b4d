import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect } from "vitest";
import { createApp } from "../../../worker/edge/app.ts";
import type { Env } from "../../../worker/edge/env.ts";
import { isolate } from "../../../worker/edge/isolate.ts";
import { hex } from "../../../worker/edge/prefixes/boundary-hashes.ts";
import type { ResponseObject } from "../../../worker/edge/schemas/response.ts";
import { ORIGIN } from "./client.ts";

export const path = "/v1/responses";
export const input = "Once upon a time";
export const app = createApp(isolate);
/** Leaves only a to z: a text whose tokens are those that were sampled. */
export const letters = Object.fromEntries(Array.from({ length: 26 }, (_, i) => [98 + i, 100]));
/** Tokens of <|end|>\n<|user|>\n, and of <|end|>\n<|assistant|>\n. */
export const FRAME = 4;

export type Variables = Partial<Env> & { key?: string };

/** Waits until all is kept that a request keeps. */
export async function send(method: string, url: string, body?: unknown, { key = "", ...variables }: Variables = {}) {
  const context = createExecutionContext();
  const init = {
    method,
    headers: { authorization: `Bearer ${key}` },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  };
  const response = await app.fetch(new Request(`${ORIGIN}${url}`, init), { ...env, ...variables }, context);
  const text = await response.text();
  await waitOnExecutionContext(context);
  return new Response(text, response);
}

export async function respond(body: Record<string, unknown>, variables: Variables = {}): Promise<ResponseObject> {
  const fields = { model: "chat", max_output_tokens: 12, seed: 1, logit_bias: letters, ...body };
  const response = await send("POST", path, fields, variables);
  const reply = await response.json<ResponseObject>();
  expect({ status: response.status, reply }).toMatchObject({ status: 200 });
  return reply;
}

export async function events(
  response: Response,
): Promise<{ type: string; sequence_number: number; [name: string]: unknown }[]> {
  expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  const blocks = (await response.text()).split("\n\n").filter((block) => block !== "");
  return blocks.map((block, i) => {
    const [, type, data] = /^event: (.*)\ndata: (.*)$/.exec(block)!;
    const event = JSON.parse(data!);
    expect([event.type, event.sequence_number]).toEqual([type, i]);
    return event;
  });
}

/** Of what a key keeps. */
export async function ledgerOf(key: string) {
  const bytes = new TextEncoder().encode(`mamba-edge session owner\n${key}`);
  return env.PREFIX_LEDGERS.getByName(hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))));
}

export const textOf = (reply: ResponseObject): string => reply.output[0]!.content[0]!.text;
export const cached = (reply: ResponseObject): number => reply.usage!.input_tokens_details.cached_tokens;
