import type { DevServer } from "../../../scripts/lib/dev-server.ts";

/** Bytes that are in use when all garbage is collected. */
export interface HeapUse {
  /** of JavaScript. */
  readonly heap: number;
  /** of all WebAssembly.Memory objects. */
  readonly wasm: number;
}

export interface WorkerHeap extends Disposable {
  used(): Promise<HeapUse>;
}

interface Reply {
  readonly usedSize: number;
  readonly result: { readonly objectId: string; readonly value: number };
  readonly objects: { readonly objectId: string };
}

/** Asks a running Worker through the protocol that debuggers speak. */
export async function openWorkerHeap(server: DevServer): Promise<WorkerHeap> {
  const { spawnargs } = server.process;
  const port = spawnargs[spawnargs.indexOf("--inspector-port") + 1];
  const response = await fetch(`http://127.0.0.1:${port}/json`);
  const [target] = (await response.json()) as { webSocketDebuggerUrl: string }[];
  // Node's own option; wrangler refuses clients that name no origin.
  const options = { headers: { origin: "http://localhost" } } as never;
  const socket = new WebSocket(target!.webSocketDebuggerUrl, options);
  const waiting = new Map<number, (result: Reply) => void>();
  let last = 0;
  await new Promise((open, fail) => {
    socket.onopen = open;
    socket.onerror = () => fail(new Error(`the Worker's inspector on port ${port} refuses`));
  });
  const context = new Promise<number>((known) => {
    socket.onmessage = ({ data }) => {
      const { id, result, method, params } = JSON.parse(String(data));
      if (method === "Runtime.executionContextCreated") known(params.context.id);
      waiting.get(id)?.(result);
      waiting.delete(id);
    };
  });
  const ask = (method: string, params: object = {}): Promise<Reply> => {
    const id = ++last;
    socket.send(JSON.stringify({ id, method, params }));
    return new Promise((answer) => waiting.set(id, answer));
  };
  await ask("Runtime.enable");
  const expression = "WebAssembly.Memory.prototype";
  const prototype = await ask("Runtime.evaluate", { expression, contextId: await context });
  return {
    async used() {
      await ask("HeapProfiler.collectGarbage");
      const { usedSize } = await ask("Runtime.getHeapUsage");
      const { objects } = await ask("Runtime.queryObjects", { prototypeObjectId: prototype.result.objectId });
      const functionDeclaration =
        "function () { return Array.from(this, ({ buffer }) => buffer.byteLength).reduce((a, b) => a + b, 0); }";
      const { objectId } = objects;
      const sum = await ask("Runtime.callFunctionOn", { objectId, functionDeclaration, returnByValue: true });
      await ask("Runtime.releaseObject", { objectId });
      return { heap: usedSize, wasm: sum.result.value };
    },
    [Symbol.dispose]: () => socket.close(),
  };
}
