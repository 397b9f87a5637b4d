import { toApiError } from "./to-api-error.ts";

/** Sends one server-sent event. Waits for a client that reads slowly; throws when it is gone. */
export type Send = (data: unknown) => Promise<void>;

export interface EventStream {
  readonly response: Response;
  /** settles when the last event is sent or the client is gone; never rejects. */
  readonly done: Promise<void>;
}

/** A reply of server-sent events that `run` writes, ended by [DONE], or by an {"error"} event when it throws. */
export function eventStream(request: Request, run: (send: Send) => Promise<void>): EventStream {
  const { readable, writable } = new IdentityTransformStream();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  let gone = false;
  const write = async (text: string): Promise<void> => {
    try {
      await writer.write(encoder.encode(`data: ${text}\n\n`));
    } catch (error) {
      gone = true;
      throw error;
    }
  };
  const drive = async (): Promise<void> => {
    try {
      await run((data) => write(JSON.stringify(data)));
      await write("[DONE]");
    } catch (error) {
      if (gone || request.signal.aborted) return;
      const { pathname } = new URL(request.url);
      await write(JSON.stringify(toApiError(error, `${request.method} ${pathname}`).body));
    } finally {
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
