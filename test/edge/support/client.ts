import { env, exports } from "cloudflare:workers";
import { expect } from "vitest";
import type { ErrorBody } from "../../../worker/edge/http/api-error.ts";
import type { Completion } from "../../../worker/edge/schemas/completion.ts";
import type { Session } from "../../../worker/edge/schemas/session.ts";

export const ORIGIN = "http://localhost";

/** What the sessions of tests begin with. */
export const text = "Once upon a time";

/** Keeps the end-of-text token out, so that lengths are known. */
export const logit_bias = { 0: -100 };

/** Sends a request to the Worker. A body that is no text and no bytes goes as JSON. */
export function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  const raw =
    typeof body === "string" || body instanceof Uint8Array || body === undefined ? body : JSON.stringify(body);
  return exports.default.fetch(`${ORIGIN}${path}`, { method, headers, ...(raw !== undefined && { body: raw }) });
}

async function ok<T>(response: Response, status: number): Promise<T> {
  const body = await response.json<T>();
  expect({ status: response.status, body }).toMatchObject({ status });
  return body;
}

export async function complete(body: Record<string, unknown>): Promise<Completion> {
  return ok(await call("POST", "/v1/completions", body), 200);
}

export async function newSession(body: Record<string, unknown> = {}): Promise<Session> {
  return ok(await call("POST", "/v1/sessions", body), 201);
}

export async function append(id: string, body: Record<string, unknown>): Promise<Completion> {
  return ok(await call("POST", `/v1/sessions/${id}/append`, body), 200);
}

export async function fork(id: string, body: Record<string, unknown> = {}): Promise<Session> {
  return ok(await call("POST", `/v1/sessions/${id}/fork`, body), 201);
}

export async function session(id: string): Promise<Session> {
  return ok(await call("GET", `/v1/sessions/${id}`), 200);
}

export async function state(id: string): Promise<Uint8Array> {
  const response = await call("GET", `/v1/sessions/${id}/state`);
  expect(response.status).toBe(200);
  return response.bytes();
}

/** The error of a reply, with its status. */
export async function errorOf(response: Response): Promise<ErrorBody["error"] & { status: number }> {
  const body = await response.json<ErrorBody>();
  expect(Object.keys(body)).toEqual(["error"]);
  expect(Object.keys(body.error).sort()).toEqual(["code", "message", "param", "type"]);
  return { status: response.status, ...body.error };
}

/** The chunks of a streamed reply, which must end with [DONE]. */
export async function chunksOf(response: Response): Promise<Completion[]> {
  expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  const events = (await response.text()).split("\n\n").filter((event) => event !== "");
  expect(events.at(-1)).toBe("data: [DONE]");
  return events.slice(0, -1).map((event) => JSON.parse(event.slice("data: ".length)));
}

/** The text of a completion or of all chunks of one. */
export function textOf(...completions: readonly Completion[]): string {
  return completions.map((c) => c.choices[0]?.text ?? "").join("");
}

/** The object that stores a session. */
export function storeOf(id: string): DurableObjectStub<import("../../../worker/edge/index.ts").SessionStore> {
  return env.SESSIONS.getByName(id);
}

/** Looks again until it holds. */
export async function eventually(holds: () => boolean | Promise<boolean>, what: string, looks = 250): Promise<void> {
  for (let i = 0; i < looks; i++) {
    if (await holds()) return;
    await new Promise((wake) => setTimeout(wake, 20));
  }
  throw new Error(`never: ${what}`);
}

/** toEqual on millions of bytes takes minutes. */
export function expectSameBytes(seen: Uint8Array, wanted: Uint8Array): void {
  expect(seen.length).toBe(wanted.length);
  expect(seen.findIndex((byte, i) => byte !== wanted[i])).toBe(-1);
}
