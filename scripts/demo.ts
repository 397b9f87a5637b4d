import { runCommand, UsageError, wholeNumber } from "./lib/cli.ts";
import { startDevServer } from "./lib/dev-server.ts";
import { events } from "./lib/sse.ts";

const help = `npm run demo [-- --prompt TEXT --tokens N --seed N]

Starts the edge runtime on this machine, streams a story over REST from the built-in model, continues it from the state that a Durable
Object kept, and checks that both parts together are what one uninterrupted run writes.

--prompt  how the story begins
--tokens  how many tokens to generate in all (default 240, half of them a call)
--seed    default 7
`;

const PROMPT = "Once upon a time, in a cottage at the edge of a great forest, there lived an old woman who";

interface Chunk {
  readonly choices: readonly { readonly text: string; readonly finish_reason: string | null }[];
  readonly usage?: Usage | null;
  readonly snapshot?: string;
}

interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly computed_tokens: number;
}

interface Story {
  readonly text: string;
  readonly usage: Usage;
  readonly snapshot: string;
  readonly seconds: { readonly first: number; readonly all: number };
}

await runCommand({
  help,
  options: { prompt: { type: "string" }, tokens: { type: "string" }, seed: { type: "string" } },
  positionals: { min: 0, max: 0 },
  async run(_, values) {
    const prompt = typeof values.prompt === "string" ? values.prompt : PROMPT;
    const half = Math.ceil(wholeNumber("tokens", values.tokens, 240) / 2);
    const seed = wholeNumber("seed", values.seed, 7);
    if (prompt === "") throw new UsageError("--prompt is empty: how shall the story begin?");
    note("starting the edge runtime …");
    await using server = await startDevServer();
    const sampling = { temperature: 0.8, top_p: 0.95, min_p: 0.02, repetition_penalty: 1.1, seed };

    const first = await post(server.url, "/v1/sessions", {});
    note(`model ${first.model}, session ${first.id}\n`);
    process.stdout.write(prompt);
    const one = await append(server.url, first.id, { text: prompt, max_tokens: half, ...sampling }, true);
    report("first call", one);
    const two = await append(server.url, first.id, { max_tokens: half, ...sampling }, true);
    report("second call, from the stored state", two);

    const unbroken = await post(server.url, "/v1/sessions", {});
    const whole = await append(server.url, unbroken.id, { text: prompt, max_tokens: 2 * half, ...sampling }, false);
    const reused = two.usage.prompt_tokens_details.cached_tokens;
    if (whole.text !== one.text + two.text)
      throw new Error("the two calls wrote another text than one uninterrupted run");
    // All that was computed anew is the token that was sampled but not yet fed, and the new ones but the last.
    if (reused === 0 || two.usage.computed_tokens > two.usage.completion_tokens) {
      throw new Error(`the second call computed ${two.usage.computed_tokens} tokens and reused ${reused}`);
    }
    note(`one uninterrupted run of ${whole.usage.completion_tokens} tokens with the same seed writes the same text`);
  },
});

function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

function report(what: string, { usage, snapshot, seconds }: Story): void {
  const reused = usage.prompt_tokens_details.cached_tokens;
  note(
    `\n\n[${what}: prompt ${usage.prompt_tokens} tokens, ${reused} reused from the stored state, ${usage.computed_tokens} computed, ` +
      `${usage.completion_tokens} generated; first text after ${seconds.first.toFixed(2)} s, ` +
      `${(usage.completion_tokens / seconds.all).toFixed(0)} tokens/s in all; ${snapshot}]\n`,
  );
}

/** Appends to a session over a stream, echoing the text as it comes. */
async function append(url: string, session: string, body: Record<string, unknown>, echo: boolean): Promise<Story> {
  const start = performance.now();
  const since = (): number => (performance.now() - start) / 1000;
  const response = await send(url, `/v1/sessions/${session}/append`, {
    ...body,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let first = 0;
  let last: Chunk | undefined;
  for await (const event of events(response)) {
    last = event as Chunk;
    const piece = last.choices[0]?.text ?? "";
    if (piece !== "" && text === "") first = since();
    text += piece;
    if (echo) process.stdout.write(piece);
  }
  if (!last?.usage || last.snapshot === undefined) throw new Error("the stream ended before its usage and snapshot");
  return { text, usage: last.usage, snapshot: last.snapshot, seconds: { first, all: since() } };
}

async function post(url: string, path: string, body: unknown): Promise<{ id: string; model: string }> {
  const response = await send(url, path, body);
  return (await response.json()) as { id: string; model: string };
}

async function send(url: string, path: string, body: unknown): Promise<Response> {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${await response.text()}`);
  return response;
}
