import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { freePort } from "../../scripts/lib/dev-server.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));

let folder = "";
let started: ChildProcess | undefined;
let said = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mamba-edge-signals-"));
  // As it is served, and without a build, which other tests would meet.
  const toml = (await readFile(join(root, "wrangler.toml"), "utf8"))
    .replace('"worker/', `"${root}worker/`)
    .replace(/\[build\]\n.*\n/, "")
    .replace('"./dist/assets"', `"${root}dist/assets"`);
  await writeFile(join(folder, "wrangler.toml"), toml);
});

afterEach(async () => {
  for (const pid of await alive()) process.kill(pid, "SIGKILL");
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** A command in a process group of its own, by which all that it starts is found, whose child it may be by then. */
function start(command: string, ...args: string[]): ChildProcess {
  said = "";
  started = spawn(command, args, { cwd: root, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [started.stdout!, started.stderr!]) stream.on("data", (data: Buffer) => (said += data));
  return started;
}

/** What is left of the group; what has ended and whom nobody asked for its exit code is not. */
async function alive(): Promise<number[]> {
  const { stdout } = await run("ps", ["-A", "-o", "pid=,pgid=,stat="]);
  const rows = stdout.split("\n").map((line) => line.trim().split(/\s+/));
  return rows
    .filter(([, group, state]) => Number(group) === started?.pid && !state!.startsWith("Z"))
    .map(([pid]) => Number(pid));
}

function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

const wait = { timeout: 60_000, interval: 100 };

test.each<[NodeJS.Signals, to: string, pid: (npm: number) => number]>([
  ["SIGTERM", "npm start", (npm) => npm],
  ["SIGINT", "npm start", (npm) => npm],
  ["SIGHUP", "all, as of a terminal that closes", (npm) => -npm],
])("%s to %s ends the runtime, and the port is free", async (signal, _, pid) => {
  const [port, inspector] = [await freePort(), await freePort()];
  const options = ["--ip", "127.0.0.1", "--port", `${port}`, "--inspector-port", `${inspector}`];
  const own = ["--config", join(folder, "wrangler.toml"), "--persist-to", join(folder, "state")];
  const npm = start("npm", "start", "--", ...options, ...own);
  await expect.poll(() => isTaken(port), wait).toBe(true);
  await expect.poll(() => said, wait).toContain(`Ready on http://127.0.0.1:${port}`);
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  expect(said).not.toContain("Request.cf");
  process.kill(pid(npm.pid!), signal);
  await expect.poll(alive, wait).toEqual([]);
  expect(await isTaken(port)).toBe(false);
});

test.each([
  "SIGTERM",
  "SIGINT",
] as const)("%s of a command of with-build ends the runtime it started, and its folder goes", async (signal) => {
  const module = JSON.stringify(join(root, "scripts/lib/dev-server.ts"));
  const config = JSON.stringify(join(folder, "wrangler.toml"));
  const code = `const { startDevServer } = await import(${module}); const server = await startDevServer({ config: ${config} });
    console.log(JSON.stringify({ url: server.url, args: server.process.spawnargs })); await new Promise(() => setInterval(() => {}, 1e6));`;
  const child = start(process.execPath, "scripts/with-build.ts", "kernels", "-e", code);
  await expect.poll(() => said, wait).toMatch(/^\{"url.*\}$/m);
  const { url, args } = JSON.parse(/^\{"url.*\}$/m.exec(said)![0]) as { url: string; args: string[] };
  const state = args[args.indexOf("--persist-to") + 1]!;
  expect(existsSync(state)).toBe(true);
  child.kill(signal);
  await expect.poll(alive, wait).toEqual([]);
  expect(await isTaken(Number(new URL(url).port))).toBe(false);
  expect(existsSync(state)).toBe(false);
});
