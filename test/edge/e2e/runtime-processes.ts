import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The workerd processes below one, with their resident bytes. */
export async function runtimeProcesses(parent: number): Promise<{ pid: number; bytes: number }[]> {
  const { stdout } = await run("ps", ["-A", "-o", "pid=,ppid=,rss=,comm="]);
  const processes = stdout
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .map(([pid, ppid, rss, ...command]) => ({
      pid: Number(pid),
      parent: Number(ppid),
      bytes: 1024 * Number(rss),
      runtime: command.join(" ").includes("workerd"),
    }));
  const below = new Set([parent]);
  for (let size = 0; size !== below.size; ) {
    size = below.size;
    for (const { pid, parent } of processes) if (below.has(parent)) below.add(pid);
  }
  return processes.filter(({ pid, runtime }) => runtime && below.has(pid));
}

/** Resident bytes of the workerd processes below one. */
export async function residentBytes(parent: number): Promise<number> {
  const runtimes = await runtimeProcesses(parent);
  if (runtimes.length === 0) throw new Error(`there is no workerd below process ${parent}`);
  return runtimes.reduce((sum, { bytes }) => sum + bytes, 0);
}
