import { afterAll, beforeAll, expect, test } from "vitest";
import type { DevServer } from "../../../scripts/lib/dev-server.ts";
import { effort } from "../../effort.ts";
import { anyValue, bodyOf, generate, pick, type Random, type Schema, seeded } from "./fuzz-values.ts";
import { startTestServer } from "./server.ts";

/** Milliseconds after which a request hangs. */
const PATIENCE = 20_000;
const WORKERS = 4;

/** Cases of a machine that is busy with other things. */
const LEAST_CASES = 300;

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly body: Schema | undefined;
  readonly query: readonly Parameter[];
}
interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly schema?: Schema;
}
interface PathItem {
  readonly requestBody?: { readonly content: Record<string, { readonly schema: Schema }> };
  readonly parameters?: readonly Parameter[];
}
interface OpenApi {
  readonly paths: Record<string, Record<string, PathItem>>;
  readonly components: { schemas: Record<string, Schema> };
}

/** In place of an id. */
const ODD = [
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

let server: DevServer;
let document: OpenApi;
let operations: Operation[];
/** Ids that replies gave; deleted ones stay among them, as ids that were there once. */
let ids: string[];

beforeAll(async () => {
  server = await startTestServer({ MAX_TOKENS: "16" });
  document = (await (await fetch(`${server.url}/openapi.json`)).json()) as OpenApi;
  operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { requestBody, parameters = [] }]) => ({
      method: method.toUpperCase(),
      path,
      body: Object.values(requestBody?.content ?? {})[0]?.schema,
      query: parameters.filter((parameter) => parameter.in === "query"),
    })),
  );
  ids = await Promise.all([newSession, newSession, newResponse, newResponse].map((make) => make()));
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
  const statuses = new Map<number, number>();
  const end = performance.now() + 1000 * effort.fuzzSeconds;
  let total = 0;
  const work = async (): Promise<void> => {
    while (performance.now() < end || total < LEAST_CASES) {
      const seed = total++;
      const status = await check(operations[seed % operations.length]!, seed);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  console.log(`${total} cases: ${[...statuses].map(([status, count]) => `${count} × ${status}`).join(", ")}`);
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
    if (status >= 500 && !isRefusal(status, text)) throw new Error(`status ${status}: ${text}`);
    if (status >= 400) checkError(path, type, text, method);
    else if (type.startsWith("text/event-stream")) checkStream(path, text);
    else if (type.startsWith("application/json") && method !== "HEAD") remember(JSON.parse(text), random);
    return status;
  } catch (error) {
    throw new Error(`${what}\n${(error as Error).message}`, { cause: error });
  }
}

/** What was made is asked for later. */
function remember(value: unknown, random: Random): void {
  const { id, session } = (value ?? {}) as { id?: unknown; session?: unknown };
  for (const name of [id, session]) {
    if (typeof name !== "string" || name.length > 100) continue;
    if (ids.length < 200) ids.push(name);
    else ids[Math.floor(random() * ids.length)] = name;
  }
}

/** Of the packages that are broken on purpose. */
function isRefusal(status: number, text: string): boolean {
  return status === 503 && /weights|shard|manifest|memory|budget|tokenizer/i.test(text);
}

function request(operation: Operation, random: Random): { method: string; path: string; body: string | undefined } {
  const method = random() < 0.05 ? pick(random, ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]) : operation.method;
  const resolve = (ref: string): Schema => document.components.schemas[ref.split("/").at(-1)!] ?? {};
  const query = operation.query
    .filter(() => random() < 0.4)
    .map(({ name, schema = {} }) => [
      name,
      String(random() < 0.2 ? pick(random, ODD) : generate(schema, random, resolve)),
    ])
    .map((pair) => pair.map((part) => encodeURIComponent(part!.toWellFormed())).join("="));
  const path = `${operation.path.replace(/\{(\w+)\}/g, () => encodeURIComponent(parameter(operation.path, random)))}${query.length > 0 ? `?${query.join("&")}` : ""}`;
  if (method === "GET" || method === "HEAD") return { method, path, body: undefined };
  const value = operation.body === undefined ? anyValue(random) : generate(operation.body, random, resolve);
  // A model that is there, more often than not.
  if (value !== null && typeof value === "object" && random() < 0.8) {
    const fields = value as Record<string, unknown>;
    if ("model" in fields) fields.model = pick(random, ["tiny", "chat"]);
    // Such as previous_response_id.
    for (const name of Object.keys(fields)) {
      const kind = /(\w+_)?(\w{4})\w*_id$/.exec(name)?.[2];
      if (kind !== undefined) fields[name] = known(kind, random);
    }
  }
  return { method, path, body: bodyOf(value, random) };
}

function parameter(path: string, random: Random): string {
  if (random() >= 0.75) return pick(random, ODD);
  // Models have names; ids begin as their collection does.
  const collection = /\/(\w+)\/\{/.exec(path)?.[1] ?? "";
  return collection === "models" ? pick(random, ["tiny", "tiny-q8", "other", "chat"]) : known(collection, random);
}

/** An id that a reply gave. @param kind how the name of what it is an id of begins */
function known(kind: string, random: Random): string {
  const some = ids.filter((id) => id.startsWith(kind.slice(0, 4)));
  return pick(random, some.length > 0 ? some : ids);
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
