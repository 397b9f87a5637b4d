import { SNAPSHOT_MEDIA_TYPE } from "../../engine/snapshot.ts";
import { EdgeError } from "./errors.ts";

/** What of a completion's stream is used. */
export interface CompletionEvent {
  readonly choices?: readonly {
    readonly text?: string;
    readonly delta?: { readonly content?: string | null };
    readonly finish_reason?: "stop" | "length" | null;
  }[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number };
  } | null;
  readonly seed?: number;
  readonly session?: string;
  readonly snapshot?: string;
  readonly error?: { readonly message: string };
}

export interface EdgeSession {
  readonly id: string;
  readonly tokens: number;
  /** id of the latest; null while there is none. */
  readonly snapshot: string | null;
}

/** At most one of a JSON value, a state and a picture. */
export interface RequestContent {
  readonly json?: unknown;
  readonly bytes?: Uint8Array;
  readonly picture?: Blob;
  readonly signal?: AbortSignal;
}

/** The Worker's REST interface, as far as the client speaks it (worker/edge/README.md). */
export class Edge {
  readonly #base: string;
  #key: string | undefined;
  /** the deployment's files are for who has a key. */
  #keepsFiles = false;

  constructor(base: string, key: string | undefined) {
    this.#base = base.replace(/\/+$/, "");
    this.#key = key;
  }

  /** Of requests from now on. */
  setApiKey(key: string | undefined): void {
    this.#key = key;
  }

  /** @throws EdgeError with the edge's own message, or saying that it cannot be reached; the signal's reason */
  async request(method: string, path: string, init: RequestContent = {}) {
    const { json, bytes, picture, signal } = init;
    const type = bytes ? SNAPSHOT_MEDIA_TYPE : json !== undefined ? "application/json" : picture?.type;
    const body =
      (bytes as Uint8Array<ArrayBuffer> | undefined) ?? picture ?? (json !== undefined && JSON.stringify(json));
    let response: Response;
    try {
      response = await fetch(this.#base + path, {
        method,
        headers: {
          ...(type !== undefined && { "content-type": type }),
          ...(this.#key !== undefined && authorization(this.#key)),
        },
        ...(signal && { signal }),
        ...(body && { body }),
      });
    } catch (cause) {
      signal?.throwIfAborted();
      throw new EdgeError(
        `${this.#base} cannot be reached (${(cause as Error).message}): check the address and try again`,
      );
    }
    if (response.ok) return response;
    const text = await response.text();
    if (response.status === 401) throw this.#unknown(messageOf(text));
    throw new EdgeError(
      messageOf(text) ?? `${method} ${path} at ${this.#base} got status ${response.status}`,
      response.status,
    );
  }

  /**
   * Fetches a file, for httpSource. A deployment that keeps its weights to itself is shown the key; no other server is.
   * @throws EdgeError 401 when it wants another
   */
  async fetchFile(url: string, { signal }: { readonly signal?: AbortSignal }): Promise<Response> {
    const own = new URL(url).origin === new URL(this.#base).origin;
    const get = (key: string | undefined): Promise<Response> =>
      fetch(url, { ...(signal && { signal }), ...(key !== undefined && { headers: authorization(key) }) });
    let response = await get(own && this.#keepsFiles ? this.#key : undefined);
    if (response.status !== 401 || !own) return response;
    if (this.#key !== undefined && !this.#keepsFiles) {
      await response.body?.cancel();
      response = await get(this.#key);
      this.#keepsFiles = true;
    }
    if (response.status === 401) throw this.#unknown(messageOf(await response.text()));
    return response;
  }

  #unknown(said: string | undefined): EdgeError {
    const what =
      this.#key === undefined
        ? `${this.#base} asks for an API key: pass one as apiKey, an option of loadModel and loadImageModel`
        : `${this.#base} does not take the API key that was passed as apiKey, an option of loadModel and loadImageModel: pass one of its own`;
    return new EdgeError(said === undefined ? what : `${what} (it says: ${said})`, 401);
  }

  async createSession(model: string): Promise<EdgeSession> {
    return (await this.request("POST", "/v1/sessions", { json: { model } })).json() as Promise<EdgeSession>;
  }

  /** @param snapshot that the copy begins with; else with the latest */
  async forkSession(id: string, snapshot: string | null = null): Promise<EdgeSession> {
    const json = { ...(snapshot !== null && { snapshot }) };
    return (await this.request("POST", `${session(id)}/fork`, { json })).json() as Promise<EdgeSession>;
  }

  async readSession(id: string): Promise<EdgeSession> {
    return (await this.request("GET", session(id))).json() as Promise<EdgeSession>;
  }

  async readState(id: string): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await (await this.request("GET", `${session(id)}/state`)).arrayBuffer());
  }

  async writeState(id: string, bytes: Uint8Array): Promise<void> {
    await (await this.request("PUT", `${session(id)}/state?allow_other_quantization=true`, { bytes })).body?.cancel();
  }

  /** Feeds tokens and generates nothing. */
  async appendTokens(id: string, tokens: readonly number[]): Promise<void> {
    const json = { tokens, max_tokens: 0 };
    await (await this.request("POST", `${session(id)}/append`, { json })).body?.cancel();
  }

  async removeSession(id: string): Promise<void> {
    await this.request("DELETE", session(id));
  }

  /** A completion as it comes. @throws EdgeError also for an error in its midst */
  async *stream(path: string, body: object, signal: AbortSignal): AsyncGenerator<CompletionEvent> {
    const json = { ...body, stream: true, stream_options: { continuous_usage_stats: true } };
    const response = await this.request("POST", path, { json, signal });
    let buffer = "";
    for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
      buffer += text;
      for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
        const line = buffer.slice(0, end);
        buffer = buffer.slice(end + 2);
        if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
        const event = JSON.parse(line.slice("data: ".length)) as CompletionEvent;
        if (event.error !== undefined) throw new EdgeError(event.error.message);
        yield event;
      }
    }
  }
}

function authorization(key: string): { readonly authorization: string } {
  return { authorization: `Bearer ${key}` };
}

function session(id: string): string {
  return `/v1/sessions/${encodeURIComponent(id)}`;
}

function messageOf(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { message?: string } }).error?.message;
  } catch {
    return undefined;
  }
}
