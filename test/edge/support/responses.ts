import { env } from "cloudflare:workers";
import { expect } from "vitest";
import { hex } from "../../../worker/edge/prefixes/boundary-hashes.ts";
import type { ResponseObject } from "../../../worker/edge/schemas/response.ts";
import { letters, send, type Variables } from "./storing.ts";

export const path = "/v1/responses";
export const input = "Once upon a time";

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
