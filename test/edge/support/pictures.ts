import { env } from "cloudflare:workers";
import { expect } from "vitest";
import type { ClassificationReply } from "../../../worker/edge/schemas/images.ts";

export const PATH = "/v1/images/classifications";

/** A file that is no picture. */
export const zip = new TextEncoder().encode("PK\x03\x04 and more");

/** The bytes of one of test/golden/images. */
export async function picture(name: string): Promise<Uint8Array> {
  return (await env.ASSETS.fetch(`http://assets/images/${name}`)).bytes();
}

export function form(files: readonly Uint8Array[], fields: Record<string, string> = {}): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.set(name, value);
  for (const file of files) data.append("image", new File([file], "photo"));
  return data;
}

/** A reply that must be a 200. */
export async function replied(response: Response): Promise<ClassificationReply> {
  const reply = await response.json<ClassificationReply>();
  expect({ status: response.status, reply }).toMatchObject({ status: 200 });
  return reply;
}
