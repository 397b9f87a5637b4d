/** The Web Worker: receives the page's calls, holds the model and its sessions. */
import type { GenerationResult } from "../client/api.ts";
import type { Calls, Reply, Request, Streams } from "../protocol.ts";
import { Edge } from "./edge.ts";
import { EdgeError } from "./errors.ts";
import type { HostGeneration, HostModel, HostSession } from "./host-model.ts";
import type { HostImageModel } from "./images/image-model.ts";
import { openImageModel } from "./images/open.ts";
import { openModel } from "./open.ts";
import { packageUrl } from "./package-url.ts";
import { predictAsked } from "./prediction.ts";

const scope = self as unknown as DedicatedWorkerGlobalScope;
const running = new Map<number, AbortController>();
const sessions = new Map<number, HostSession>();
let model: HostModel | undefined;
let imageModel: HostImageModel | undefined;
/** That of the model that is loaded or being loaded. */
let edge: Edge | undefined;
let handles = 0;

/** Of a text of its own that was cancelled while its prompt was read. */
const NOTHING: GenerationResult = {
  text: "",
  finishReason: "cancelled",
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
  seed: 0,
  totalMs: 0,
  backend: "wasm",
};

scope.onmessage = ({ data }: MessageEvent<Request>) => {
  if ("cancel" in data) running.get(data.id)?.abort(new DOMException("The call was aborted", "AbortError"));
  else void answer(data);
};

async function answer(request: Exclude<Request, { cancel: true }>): Promise<void> {
  const { id } = request;
  const controller = new AbortController();
  running.set(id, controller);
  try {
    if ("stream" in request) {
      const chunks = open(request, controller.signal);
      let next = await chunks.next();
      for (; !next.done; next = await chunks.next()) post({ id, chunk: next.value });
      post({ id, result: next.value });
    } else {
      const value = await calls[request.call](request.args as never, id, controller.signal);
      // Bytes are handed over, not copied.
      post({ id, value }, value instanceof Uint8Array ? [value.buffer] : []);
    }
  } catch (error) {
    // Another error of what was stopped is the caller's.
    if ("stream" in request && controller.signal.aborted && (error as Error).name === "AbortError") {
      post({ id, result: NOTHING });
      return;
    }
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    const status = error instanceof EdgeError ? error.status : undefined;
    post({ id, error: { name, message, ...(status !== undefined && { status }) } });
  } finally {
    running.delete(id);
  }
}

function post(reply: Reply, transfer: Transferable[] = []): void {
  scope.postMessage(reply, transfer);
}

function open(
  request: { [K in keyof Streams]: { stream: K; args: Streams[K] } }[keyof Streams],
  signal: AbortSignal,
): HostGeneration {
  switch (request.stream) {
    case "generate":
      return loaded().generate(request.args.prompt, request.args.options, signal);
    case "chat":
      return loaded().chat(request.args.messages, request.args.options, signal);
    case "append":
      return session(request.args.session).append(request.args.text, request.args.options, signal);
  }
}

const calls: { [K in keyof Calls]: (args: Calls[K][0], id: number, signal: AbortSignal) => Promise<Calls[K][1]> } = {
  async load({ url, options }, id, signal) {
    edge = edgeOf(url, options);
    model = await openModel(await packageUrl(url, edge, signal), edge, options, {
      signal,
      onProgress: (progress) => post({ id, progress }),
      onBackend: ({ backend, reason }) => post({ backend, reason }),
    });
    const { info, backend, reason } = model;
    return { info, backend, reason };
  },
  async loadImages({ url, options }, id, signal) {
    edge = edgeOf(url, options);
    imageModel = await openImageModel(await packageUrl(url, edge, signal), edge, options, {
      signal,
      onProgress: (progress) => post({ id, progress }),
      onBackend: ({ backend, reason }) => post({ backend, reason }),
    });
    const { info, backend, reason } = imageModel;
    return { info, backend, reason };
  },
  classify({ picture, options }, _, signal) {
    if (imageModel === undefined) throw new Error("no image model is loaded");
    return imageModel.classify(picture, options, signal);
  },
  session: async () => hold(await loaded().session()),
  fork: async ({ session: from }) => hold(await session(from).fork()),
  save: ({ session: from }) => session(from).save(),
  async restore({ session: to, bytes }) {
    await session(to).restore(bytes);
    return { session: to, tokens: session(to).tokens };
  },
  push: ({ session: from, id }) => session(from).push(id),
  async pull({ session: to, id }) {
    await session(to).pull(id);
    return { session: to, tokens: session(to).tokens };
  },
  async release({ session: handle }) {
    sessions.get(handle)?.dispose();
    sessions.delete(handle);
    return undefined;
  },
  predict: (asked, _, signal) => predictAsked(loaded(), asked, signal),
  async setApiKey({ apiKey }) {
    edge?.setApiKey(apiKey);
    return undefined;
  },
  async dispose() {
    for (const held of sessions.values()) held.dispose();
    sessions.clear();
    model?.dispose();
    model = undefined;
    imageModel?.dispose();
    imageModel = undefined;
    return undefined;
  },
};

function edgeOf(url: string, { edge: base = new URL(url).origin, apiKey }: Calls["load"][0]["options"]): Edge {
  return new Edge(base, apiKey);
}

function hold(held: HostSession): { session: number; tokens: number } {
  const handle = ++handles;
  sessions.set(handle, held);
  return { session: handle, tokens: held.tokens };
}

function loaded(): HostModel {
  if (model === undefined) throw new Error("no model is loaded");
  return model;
}

function session(handle: number): HostSession {
  const held = sessions.get(handle);
  if (held === undefined) throw new Error("the session was disposed: open another one");
  return held;
}
