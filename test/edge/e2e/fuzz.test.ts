import { afterAll, beforeAll, expect, test } from "vitest";
import type { DevServer } from "../../../scripts/lib/dev-server.ts";
import { effort } from "../../effort.ts";
import { anyValue, bodyOf, generate, pick, type Random, type Schema, seeded } from "./fuzz-values.ts";
import { startTestServer } from "./server.ts";

/** Milliseconds after which a request hangs. */
const PATIENCE = 20_000;
const WORKERS = 4;

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly body: Schema | undefined;
}
interface OpenApi {
  readonly paths: Record<string, Record<string, { requestBody?: { content: Record<string, { schema: Schema }> } }>>;
  readonly components: { schemas: Record<string, Schema> };
}

let server: DevServer;
let document: OpenApi;
let operations: Operation[];
let sessions: string[];
let responses: string[];

beforeAll(async () => {
  server = await startTestServer({ MAX_TOKENS: "16" });
  document = (await (await fetch(`${server.url}/openapi.json`)).json()) as OpenApi;
  operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { requestBody }]) => ({
      method: method.toUpperCase(),
      path,
      body: Object.values(requestBody?.content ?? {})[0]?.schema,
    })),
  );
  sessions = await Promise.all(Array.from({ length: 4 }, newSession));
  responses = await Promise.all(Array.from({ length: 4 }, newResponse));
}, 120_000);
afterAll(() => server?.[Symbol.asyncDispose]());

async function newSession(): Promise<string> {
  const { id } = (await (await fetch(`${server.url}/v1/sessions`, { method: "POST" })).json()) as { id: string };
  await (
    await fetch(`${server.url}/v1/sessions/${id}/append`, { method: "POST", body: '{"text":"a","max_tokens":1}' })
  ).text();
  return id;
}

async function newResponse(): Promise<string> {
  const body = '{"input":"a","max_output_tokens":1}';
  const reply = await fetch(`${server.url}/v1/responses`, { method: "POST", body });
  return ((await reply.json()) as { id: string }).id;
}

test("every endpoint answers anything with its result or an error in its form", { timeout: 600_000 }, async () => {
  expect(operations.length).toBeGreaterThan(15);
  const total = 4 * effort.fuzzCases;
  const statuses = new Map<number, number>();
  let next = 0;
  const work = async (): Promise<void> => {
    for (let seed = next++; seed < total; seed = next++) {
      const status = await check(operations[seed % operations.length]!, seed);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  // It is no fuzzing where everything is refused, or everything taken.
  for (const status of [200, 400, 404, 405])
    expect(statuses.get(status), `of status ${status}`).toBeGreaterThan(total / 200);
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  expect(server.output()).not.toMatch(/internal_error|Uncaught|"level":"error"/);
});

/** Sends the case of a seed and returns its status; what fails names the seed and the request. */
async function check(operation: Operation, seed: number): Promise<number> {
  const random = seeded(seed);
  const { method, path, body } = request(operation, random);
  const what = `seed ${seed}: ${method} ${path} ${body?.slice(0, 300) ?? ""}`;
  const init = { method, signal: AbortSignal.timeout(PATIENCE), ...(body !== undefined && { body }) };
  try {
    const response = await fetch(`${server.url}${path}`, init);
    const { status } = response;
    const type = response.headers.get("content-type") ?? "";
    const text = await response.text();
    if (status >= 500 && status !== 503) throw new Error(`status ${status}: ${text}`);
    if (status >= 400) checkError(path, type, text, method);
    else if (type.startsWith("text/event-stream")) checkStream(path, text);
    else if (type.startsWith("application/json") && method !== "HEAD") JSON.parse(text);
    return status;
  } catch (error) {
    throw new Error(`${what}\n${(error as Error).message}`, { cause: error });
  }
}

function request(operation: Operation, random: Random): { method: string; path: string; body: string | undefined } {
  const method = random() < 0.05 ? pick(random, ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]) : operation.method;
  const path = operation.path.replace(/\{(\w+)\}/g, () => encodeURIComponent(parameter(operation.path, random)));
  if (method === "GET" || method === "HEAD") return { method, path, body: undefined };
  const resolve = (ref: string): Schema => document.components.schemas[ref.split("/").at(-1)!] ?? {};
  const value = operation.body === undefined ? anyValue(random) : generate(operation.body, random, resolve);
  // A model that is there, more often than not.
  const fields = value as { model?: unknown; previous_response_id?: unknown } | null;
  if (fields !== null && typeof fields === "object" && "model" in fields && random() < 0.8) fields.model = "tiny";
  if (fields !== null && typeof fields === "object" && "previous_response_id" in fields && random() < 0.8) {
    fields.previous_response_id = pick(random, responses);
  }
  return { method, path, body: bodyOf(value, random) };
}

function parameter(path: string, random: Random): string {
  // Deleted ones stay among them, as ids that were there once.
  const known = path.includes("/sessions/")
    ? sessions
    : path.includes("/responses/")
      ? responses
      : ["tiny", "tiny-q8", "other"];
  const odd = [
    "x",
    "sess_",
    `sess_${"0".repeat(32)}`,
    "..",
    "%",
    "é",
    "\u{1F600}",
    "\0",
    "a/b",
    "x".repeat(500),
    "__proto__",
  ];
  return random() < 0.7 ? pick(random, known) : pick(random, odd);
}

function checkError(path: string, type: string, text: string, method: string): void {
  if (method === "HEAD") return;
  expect(type).toMatch(/^application\/json/);
  const body = JSON.parse(text) as { error: unknown };
  expect(Object.keys(body)).toEqual(["error"]);
  if (/^\/v2(\/|$)/.test(path)) expect(body.error).toEqual(expect.any(String));
  else
    expect(body.error).toMatchObject({ message: expect.stringMatching(/./), type: expect.stringMatching(/_error$/) });
}

function checkStream(path: string, text: string): void {
  const events = text.trimEnd().split("\n\n");
  if (path.startsWith("/v1/responses")) {
    const types = events.map((event) => JSON.parse(event.replace(/^event: .*\ndata: /, "")).type);
    if (!/^response\.(completed|incomplete)$/.test(types.at(-1)))
      throw new Error(`the stream ends with ${events.at(-1)}`);
    return;
  }
  if (events.at(-1) !== "data: [DONE]") throw new Error(`the stream ends with ${events.at(-1)}`);
  for (const event of events.slice(0, -1)) JSON.parse(event.replace(/^data: /, ""));
}
