import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "./support/client.ts";
import { separate } from "./support/separate.ts";

/** Of any of the streams, what is looked at. */
interface Event {
  readonly choices: readonly { readonly index: number }[];
  readonly usage?: { readonly completion_tokens: number };
  readonly sequence_number: number;
}
/** Of the log, what is counted with. */
type Line = Readonly<Record<"prompt_tokens" | "generated_tokens" | "reused_tokens" | "computed_tokens", number>>;

let lines: Line[] = [];
const { log } = console;
beforeEach(() => {
  lines = [];
  console.log = (line: string) => lines.push(JSON.parse(line));
});
afterEach(() => {
  console.log = log;
});

const logit_bias = { 0: -100 };
const endless = { max_tokens: 100_000, logit_bias };
const stream = { stream: true, stream_options: { continuous_usage_stats: true } };

/** Reads a stream's events until one of them is enough, and goes away. */
async function readUntil(response: Response, enough: (event: Event) => boolean): Promise<Event> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    expect(done, "the stream goes on").toBe(false);
    text += value;
    const event = text
      .split("\n\n")
      .slice(0, -1)
      .map((part) => /^data: (.*)$/m.exec(part)![1]!)
      .map((data): Event => JSON.parse(data))
      .find(enough);
    if (event === undefined) continue;
    await reader.cancel();
    return event;
  }
}

async function metric(get: (path: string) => Promise<Response>, name: string): Promise<number> {
  const text = await (await get("/metrics")).text();
  const line = text.split("\n").find((each) => each.startsWith(`mamba_edge_${name} `));
  return Number(line?.split(" ").at(-1));
}

interface Way {
  readonly way: string;
  readonly path: string;
  readonly body: Record<string, unknown>;
  readonly enough: (event: Event) => boolean;
  readonly seen: (event: Event) => number;
}
const completionSeen = (event: Event): number => event.usage!.completion_tokens;
const atLeast =
  (count: number) =>
  (event: Event): boolean =>
    (event.usage?.completion_tokens ?? 0) >= count;

const ways: Way[] = [
  {
    way: "a completion",
    path: "/v1/completions",
    body: { model: "slow", prompt: "Once upon a time", ...endless, ...stream },
    enough: atLeast(5),
    seen: completionSeen,
  },
  {
    way: "a completion, in its second choice",
    path: "/v1/completions",
    body: { model: "slow", prompt: "Once upon a time", ...stream, logit_bias, n: 2, max_tokens: 40 },
    enough: (event) => event.choices[0]?.index === 1 && completionSeen(event) > 42,
    seen: completionSeen,
  },
  {
    way: "a chat",
    path: "/v1/chat/completions",
    body: { model: "slow", messages: [{ role: "user", content: "Hello" }], ...endless, ...stream },
    enough: atLeast(5),
    seen: completionSeen,
  },
  {
    way: "a response",
    path: "/v1/responses",
    body: { model: "slow", input: "Hello", max_output_tokens: 100_000, logit_bias, stream: true },
    enough: ({ sequence_number }) => sequence_number >= 8,
    // Four events come before the text, of at least a token each.
    seen: ({ sequence_number }) => sequence_number - 3,
  },
  {
    way: "an append",
    path: "/v1/sessions/SESSION/append",
    body: { text: "Once upon a time", ...endless, ...stream },
    enough: atLeast(5),
    seen: completionSeen,
  },
];

describe("a stream that its client cuts off counts what was generated until then", () => {
  test.each(ways)("$way", async ({ path, body, enough, seen }) => {
    const { send, get } = separate({ LOG_LEVEL: "info" });
    const made = await send("/v1/sessions", { method: "POST", body: JSON.stringify({ model: "slow" }) });
    const { id } = await made.json<{ id: string }>();
    lines = [];
    const response = await send(path.replace("SESSION", id), { method: "POST", body: JSON.stringify(body) });
    const least = seen(await readUntil(response, enough));
    await eventually(() => lines.length > 0, "the request is logged");
    expect(lines).toHaveLength(1);
    const line = lines[0]!;
    expect(line).toMatchObject({ status: 200, stream: "client_gone" });
    expect(line.generated_tokens).toBeGreaterThanOrEqual(least);
    // The piece that could not be sent any more was the last.
    expect(line.generated_tokens).toBeLessThan(least + 20);
    expect(line.prompt_tokens).toBeGreaterThan(5);
    // Of each choice the last token was sampled, and not fed; the prompt's last one is fed in each.
    expect(line.computed_tokens + line.reused_tokens).toBe(line.prompt_tokens - 1 + line.generated_tokens);
    for (const kind of ["prompt", "generated", "reused", "computed"] as const) {
      expect(await metric(get, `tokens_total{kind="${kind}"}`), kind).toBe(line[`${kind}_tokens`]);
    }
    const route = path.replace("SESSION", ":id");
    expect(await metric(get, `streams_total{route="${route}",ended="client_gone"}`)).toBe(1);
    expect(await metric(get, `streams_total{route="${route}",ended="complete"}`)).toBeNaN();
  });
});

test("a reply without a stream that its client does not wait for counts what was generated until then, as a 499", async () => {
  const { services, send, get } = separate({ LOG_LEVEL: "info" });
  const abort = new AbortController();
  const body = JSON.stringify({ model: "slow", prompt: "Once upon a time", ...endless });
  const reply = send("/v1/completions", { method: "POST", body, signal: abort.signal });
  await eventually(() => services.pool.stats().some((model) => model.loaded), "the model is loaded");
  await new Promise((wake) => setTimeout(wake, 100));
  abort.abort();
  await reply.catch(() => {});
  await eventually(() => lines.length > 0, "the request is logged");
  expect(lines).toMatchObject([{ status: 499, route: "/v1/completions" }]);
  expect(lines[0]).not.toHaveProperty("stream");
  expect(lines[0]!.generated_tokens).toBeGreaterThan(0);
  expect(lines[0]!.computed_tokens).toBe(lines[0]!.prompt_tokens + lines[0]!.generated_tokens - 1);
  expect(await metric(get, 'tokens_total{kind="generated"}')).toBe(lines[0]!.generated_tokens);
});

test("a stream that ends with an error says so, and counts all that was generated", async () => {
  const { send, get } = separate({ LOG_LEVEL: "info" });
  const made = await send("/v1/sessions", { method: "POST", body: JSON.stringify({ model: "slow" }) });
  const { id } = await made.json<{ id: string }>();
  const body = JSON.stringify({ text: "Once upon a time", max_tokens: 30, logit_bias, stream: true });
  const response = await send(`/v1/sessions/${id}/append`, { method: "POST", body });
  await send(`/v1/sessions/${id}`, { method: "DELETE" });
  lines = [];
  expect(await response.text()).toContain("session_not_found");
  expect(lines).toMatchObject([{ status: 200, stream: "error", generated_tokens: 30 }]);
  expect(await metric(get, 'streams_total{route="/v1/sessions/:id/append",ended="error"}')).toBe(1);
});
