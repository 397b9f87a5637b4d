import { access } from "../access.ts";

export interface Told {
  readonly x: readonly number[];
  readonly y: number;
}

/** What a session's reply says. */
export interface SessionAnswer {
  readonly predictions: readonly number[];
  /** of each example of the session, before its y was seen. */
  readonly before: readonly number[];
  readonly stateBytes: number;
  readonly milliseconds: number;
  /** examples that were computed now, and that were in the state already. */
  readonly added: number;
  readonly kept: number;
}

interface Reply {
  readonly id: string;
  readonly predictions: readonly number[];
  readonly before: readonly number[];
  readonly usage: { readonly state_bytes: number };
}

interface Held {
  /** not there yet while it is made. */
  readonly id: Promise<string>;
  /** the examples in its state, as they were sent. */
  readonly told: string[];
  readonly before: number[];
}

/** A session at the edge for each model: only examples that it has not seen are sent. Others than it has seen begin a new one. */
export class EdgeSessions {
  readonly #held = new Map<string, Held>();

  /** @throws Error with the edge's own words */
  async ask(model: string, examples: readonly Told[], query: readonly (readonly number[])[]): Promise<SessionAnswer> {
    const start = performance.now();
    const told = examples.map((example) => JSON.stringify(example));
    let held = this.#held.get(model);
    if (held === undefined || held.told.some((one, i) => one !== told[i])) {
      this.#forget(model);
      held = { id: post("/v1/sessions", { model }).then(({ id }) => id), told: [], before: [] };
      this.#held.set(model, held);
    }
    const [kept, more] = [held.told.length, examples.slice(held.told.length)];
    let answer: Reply;
    try {
      answer = await post("/v1/icl/predictions", { session: await held.id, examples: more, query });
    } catch (error) {
      // It may be gone, or full: the next question begins another.
      if (this.#held.get(model) === held) this.#forget(model);
      throw error;
    }
    held.told.push(...told.slice(kept));
    held.before.push(...answer.before);
    return {
      ...{ predictions: answer.predictions, before: [...held.before], stateBytes: answer.usage.state_bytes },
      ...{ milliseconds: performance.now() - start, added: more.length, kept },
    };
  }

  /** Deletes them all. */
  end(): void {
    for (const model of [...this.#held.keys()]) this.#forget(model);
  }

  /** One that is being made is deleted when it is there; one that cannot be deleted goes with time. */
  #forget(model: string): void {
    const held = this.#held.get(model);
    this.#held.delete(model);
    held?.id
      .then((id) => fetch(`/v1/sessions/${id}`, { method: "DELETE", headers: headers(), keepalive: true }))
      .catch(() => {});
  }
}

async function post(path: string, body: unknown): Promise<Reply> {
  const sent = { "content-type": "application/json", ...headers() };
  const response = await fetch(path, { method: "POST", headers: sent, body: JSON.stringify(body) });
  const text = await response.text();
  if (response.ok) return JSON.parse(text) as Reply;
  let message = `HTTP ${response.status}`;
  try {
    message = (JSON.parse(text) as { error: { message: string } }).error.message;
  } catch {
    // Not ours: a proxy's page.
  }
  throw Object.assign(new Error(message), { status: response.status });
}

function headers(): Record<string, string> {
  const { apiKey } = access();
  return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
}
