import type { DevServer } from "../../../scripts/lib/dev-server.ts";

export interface WorkerHeap extends Disposable {
  /** Bytes of the Worker's JavaScript heap that are in use when all garbage is collected. */
  used(): Promise<number>;
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
  const waiting = new Map<number, (result: unknown) => void>();
  let last = 0;
  await new Promise((open, fail) => {
    socket.onopen = open;
    socket.onerror = () => fail(new Error(`the Worker's inspector on port ${port} refuses`));
  });
  socket.onmessage = ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id: number; result: unknown };
    waiting.get(id)?.(result);
    waiting.delete(id);
  };
  const ask = (method: string): Promise<unknown> => {
    const id = ++last;
    socket.send(JSON.stringify({ id, method }));
    return new Promise((answer) => waiting.set(id, answer));
  };
  return {
    async used() {
      await ask("HeapProfiler.collectGarbage");
      return ((await ask("Runtime.getHeapUsage")) as { usedSize: number }).usedSize;
    },
    [Symbol.dispose]: () => socket.close(),
  };
}
