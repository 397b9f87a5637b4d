import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

// Not import.meta.resolve, which vitest's own imports lack.
const WRANGLER = join(createRequire(import.meta.url).resolve("wrangler/package.json"), "../bin/wrangler.js");
const START_TIMEOUT_MS = 60_000;
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

export interface DevServer extends AsyncDisposable {
  /** such as http://127.0.0.1:8787 */
  readonly url: string;
  readonly process: ChildProcess;
  /** what the server printed so far. */
  output(): string;
}

export interface DevServerOptions {
  /** Default wrangler.toml. */
  readonly config?: string;
  /** A folder that keeps what is stored, also when the server has ended. Default one of its own that goes with it. */
  readonly state?: string;
  /** Worker variables. */
  readonly vars?: Readonly<Record<string, string>>;
}

/**
 * Starts the Worker on the local edge runtime, on a free loopback port. A signal that ends this process ends it too.
 * @throws Error with the server's output when it does not answer
 */
export async function startDevServer(options: DevServerOptions = {}): Promise<DevServer> {
  const own = options.state === undefined ? mkdtempSync(join(tmpdir(), "mamba-edge-")) : undefined;
  const port = await freePort();
  const args = [
    "dev",
    "--ip",
    "127.0.0.1",
    "--port",
    `${port}`,
    "--inspector-port",
    `${await freePort()}`,
    "--persist-to",
    options.state ?? own!,
  ];
  if (options.config !== undefined) args.push("--config", options.config);
  for (const [key, value] of Object.entries(options.vars ?? {})) args.push("--var", `${key}:${value}`);
  const child = spawn(process.execPath, [WRANGLER, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    // Quiet, offline and without questions.
    env: {
      ...process.env,
      CI: "1",
      WRANGLER_SEND_METRICS: "false",
      CLOUDFLARE_CF_FETCH_ENABLED: "false",
      WRANGLER_HIDE_BANNER: "true",
      WRANGLER_LOG: "warn",
    },
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (text += data.toString()));
  const url = `http://127.0.0.1:${port}`;
  const stopAll = async (): Promise<void> => {
    await stop(child);
    if (own !== undefined) rmSync(own, { recursive: true, force: true, maxRetries: 5 });
    for (const signal of SIGNALS) process.off(signal, end);
  };
  const server: DevServer = { url, process: child, output: () => text, [Symbol.asyncDispose]: stopAll };
  const end = (signal: NodeJS.Signals): void => {
    // Without a listener the same signal ends this process as it would have.
    void stopAll().finally(() => process.kill(process.pid, signal));
  };
  for (const signal of SIGNALS) process.on(signal, end);
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await answers(`${url}/healthz`))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await server[Symbol.asyncDispose]();
      throw new Error(`the local edge runtime did not start on ${url}:\n${text}`);
    }
    await new Promise((wake) => setTimeout(wake, 50));
  }
  return server;
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}

/** SIGTERM ends the runtime cleanly; one that does not listen is killed. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await exited;
  clearTimeout(timer);
}

/** A port of loopback that nothing has now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
