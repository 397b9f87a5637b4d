import type { Calls, Reply, Request, Streams, WireError } from "../protocol.ts";
import type { BackendName, Chunk, GenerationResult, LoadProgress } from "./api.ts";

interface Pending {
  onChunk?: (chunk: Chunk) => void;
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

interface CallOptions {
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The page's end of the line to its Web Worker. */
export class Channel {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #next = 1;
  #closed: Error | undefined;
  onBackend: (backend: BackendName, reason: string) => void = () => {};

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#receive(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(named("BackendError", `the model's Web Worker failed: ${event.message || "it could not be started"}`));
    };
  }

  /** One question, one reply. An aborted signal rejects at once; the Web Worker is told. */
  call<K extends keyof Calls>(call: K, args: Calls[K][0], options: CallOptions = {}): Promise<Calls[K][1]> {
    const { signal, onProgress } = options;
    const { id, promise, reject } = this.#open<Calls[K][1]>({ onProgress });
    const abort = (): void => {
      this.cancel(id);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", abort, { once: true });
    this.#send({ id, call, args } as Request);
    return promise.finally(() => signal?.removeEventListener("abort", abort));
  }

  stream<K extends keyof Streams>(
    stream: K,
    args: Streams[K],
    onChunk: (chunk: Chunk) => void,
  ): { id: number; result: Promise<GenerationResult> } {
    const { id, promise } = this.#open<GenerationResult>({ onChunk });
    this.#send({ id, stream, args } as Request);
    return { id, result: promise };
  }

  /** Asks for the end of a call or stream, which still replies. */
  cancel(id: number): void {
    if (this.#pending.has(id)) this.#send({ id, cancel: true });
  }

  /** Ends the Web Worker, and with it all that it holds. */
  close(): void {
    this.#fail(named("DisposedError", "the model was disposed: load it again"));
  }

  #open<T>(handlers: Pick<Pending, "onChunk" | "onProgress">): {
    id: number;
    promise: Promise<T>;
    reject: (error: unknown) => void;
  } {
    const id = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (this.#closed !== undefined) reject(this.#closed);
    else this.#pending.set(id, { ...handlers, resolve: resolve as (value: unknown) => void, reject });
    return { id, promise, reject };
  }

  #send(request: Request): void {
    if (this.#closed !== undefined) return;
    try {
      this.#worker.postMessage(request);
    } catch (cause) {
      const message = `what was given cannot go to the Web Worker, it must be plain data: ${(cause as Error).message}`;
      this.#pending.get(request.id)?.reject(named("ParameterError", message));
      this.#pending.delete(request.id);
    }
  }

  #receive(reply: Reply): void {
    if ("backend" in reply) {
      this.onBackend(reply.backend, reply.reason);
      return;
    }
    const pending = this.#pending.get(reply.id);
    if (pending === undefined) return;
    if ("chunk" in reply) pending.onChunk?.(reply.chunk);
    else if ("progress" in reply) pending.onProgress?.(reply.progress);
    else {
      this.#pending.delete(reply.id);
      if ("error" in reply) pending.reject(fromWire(reply.error));
      else pending.resolve("result" in reply ? reply.result : reply.value);
    }
  }

  #fail(error: Error): void {
    if (this.#closed !== undefined) return;
    this.#closed = error;
    this.#worker.terminate();
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

function fromWire({ name, message, status }: WireError): Error {
  if (name === "AbortError") return new DOMException(message, name);
  return Object.assign(named(name, message), status !== undefined && { status });
}

export function named(name: string, message: string): Error {
  const error = new Error(message);
  error.name = name;
  return error;
}
