import { toApiError } from "./to-api-error.ts";

/** Sends one server-sent event; waits for a client that reads slowly. */
export type Send = (data: unknown) => Promise<void>;

export interface EventStream {
  readonly response: Response;
  /** settles when the last event is sent or the client is gone; never rejects. */
  readonly done: Promise<void>;
}

/**
 * A reply of server-sent events that `run` writes, ended by [DONE], or by an {"error"} event when it throws.
 * @param stop called when the client is gone, so that `run` can end early
 */
export function eventStream(where: string, stop: () => void, run: (send: Send) => Promise<void>): EventStream {
  const { readable, writable } = new IdentityTransformStream();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  let gone = false;
  const leave = (): void => {
    gone = true;
    stop();
  };
  writer.closed.catch(leave);
  const write = (text: string): Promise<void> => writer.write(encoder.encode(`data: ${text}\n\n`));
  const send: Send = async (data) => {
    try {
      await write(JSON.stringify(data));
    } catch (error) {
      leave();
      throw error;
    }
  };
  const drive = async (): Promise<void> => {
    try {
      await run(send);
      await write("[DONE]");
    } catch (error) {
      if (!gone) await write(JSON.stringify(toApiError(error, where).body));
    }
    await writer.close();
  };
  return {
    response: new Response(readable, {
      headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store, no-transform" },
    }),
    // A client that is gone cannot be told anything more.
    done: drive().catch(() => {}),
  };
}
