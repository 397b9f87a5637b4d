import type { Context } from "hono";
import type { AppEnv } from "../env.ts";
import type { ApiError } from "./api-error.ts";
import { toApiError } from "./to-api-error.ts";

/** Sends one server-sent event. Waits for a client that reads slowly; throws when it is gone. */
export type Send = (data: unknown) => Promise<void>;

export interface EventStream {
  readonly response: Response;
  /** settles when the last event is sent or the client is gone; never rejects. */
  readonly done: Promise<void>;
}

/** Events that say their type, as OpenAI's responses have them: no [DONE] ends them. */
export interface TypedEvents {
  /** The last event when something went wrong. */
  failed(error: ApiError): { readonly type: string };
}

/**
 * A reply of server-sent events that `run` writes, ended by [DONE], or by an {"error"} event when it throws.
 * The request's record says how it ended.
 * @param typed where events have types
 */
export function eventStream(c: Context<AppEnv>, run: (send: Send) => Promise<void>, typed?: TypedEvents): EventStream {
  const request = c.req.raw;
  const record = c.get("record");
  const ended = record.begin();
  const { readable, writable } = new IdentityTransformStream();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  let gone = false;
  const write = async (text: string, type?: string): Promise<void> => {
    const name = type === undefined ? "" : `event: ${type}\n`;
    try {
      await writer.write(encoder.encode(`${name}data: ${text}\n\n`));
    } catch (error) {
      gone = true;
      throw error;
    }
  };
  const send: Send = (data) =>
    write(JSON.stringify(data), typed === undefined ? undefined : (data as { type: string }).type);
  const drive = async (): Promise<void> => {
    try {
      await run(send);
      if (typed === undefined) await write("[DONE]");
      record.stream = "complete";
    } catch (error) {
      record.stream = gone || request.signal.aborted ? "client_gone" : "error";
      if (record.stream === "client_gone") return;
      const { pathname } = new URL(request.url);
      const failure = toApiError(error, `${request.method} ${pathname}`);
      await send(typed?.failed(failure) ?? failure.body);
    } finally {
      ended();
      await writer.close();
    }
  };
  return {
    response: new Response(readable, {
      headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store, no-transform" },
    }),
    // A client that is gone cannot be told anything more.
    done: drive().catch(() => {}),
  };
}
