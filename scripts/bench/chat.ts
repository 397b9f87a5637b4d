import { type DevServer, startDevServer } from "../lib/dev-server.ts";
import { median } from "../lib/measure.ts";
import { events } from "../lib/sse.ts";
import type { Row } from "../lib/table.ts";

const TURNS = 20;
/** The first turn loads the model, so the second is what later ones are compared with. */
const COMPARED = [2, TURNS] as const;
const CONVERSATIONS = 5;
const REPLY_TOKENS = 24;

interface Message {
  readonly role: "user" | "assistant";
  readonly content: string;
}

interface Turn {
  readonly text: string;
  /** from sending the request to the first text of the reply. */
  readonly milliseconds: number;
  readonly prompt: number;
  readonly cached: number;
}

/** A chat that its client sends again in full each turn: how long until its reply begins, with states kept and without. */
export async function chat(): Promise<Row[]> {
  await using server = await startDevServer();
  const times = { kept: new Map<number, Turn[]>(), "not kept": new Map<number, Turn[]>() };
  for (let conversation = 0; conversation < CONVERSATIONS; conversation++) {
    const messages: Message[] = [];
    for (let turn = 1; turn <= TURNS; turn++) {
      const content = `Tell me, for the ${turn + 100}th time, what the king of land ${conversation} said to his three sons.`;
      messages.push({ role: "user", content });
      const compared = COMPARED.some((n) => n === turn);
      const fresh = compared ? await ask(server, messages, { store: false, seed: turn }) : undefined;
      const kept = await ask(server, messages, { seed: turn });
      if (fresh !== undefined) {
        if (fresh.text !== kept.text) throw new Error(`turn ${turn}: another reply with a kept state than without`);
        for (const [kind, reply] of [
          ["kept", kept],
          ["not kept", fresh],
        ] as const) {
          times[kind].set(turn, [...(times[kind].get(turn) ?? []), reply]);
        }
      }
      messages.push({ role: "assistant", content: kept.text });
    }
  }
  return Object.entries(times).map(([states, turns]) => {
    const of = (turn: number, what: "milliseconds" | "prompt" | "cached"): number =>
      median((turns.get(turn) ?? []).map((reply) => reply[what]));
    const [early, late] = COMPARED;
    return {
      "states of the conversation": states,
      "prompt tokens of turn 20": of(late, "prompt"),
      "of these computed": of(late, "prompt") - of(late, "cached"),
      "turn 2, ms to the first token": of(early, "milliseconds").toFixed(0),
      "turn 20": of(late, "milliseconds").toFixed(0),
      "20 over 2": (of(late, "milliseconds") / of(early, "milliseconds")).toFixed(2),
    };
  });
}

interface Chunk {
  readonly choices: readonly { readonly delta: { readonly content?: string } }[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
  } | null;
}

async function ask(server: DevServer, messages: readonly Message[], fields: object): Promise<Turn> {
  const body = {
    messages,
    max_tokens: REPLY_TOKENS,
    stream: true,
    stream_options: { include_usage: true },
    ...fields,
  };
  const begin = performance.now();
  const response = await fetch(`${server.url}/v1/chat/completions`, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  let text = "";
  let milliseconds = 0;
  let usage: Chunk["usage"];
  for await (const event of events(response)) {
    const chunk = event as Chunk;
    const piece = chunk.choices[0]?.delta.content ?? "";
    if (piece !== "" && text === "") milliseconds = performance.now() - begin;
    text += piece;
    usage = chunk.usage ?? usage;
  }
  if (text === "" || !usage) throw new Error("a reply without text or usage");
  return { text, milliseconds, prompt: usage.prompt_tokens, cached: usage.prompt_tokens_details.cached_tokens };
}
