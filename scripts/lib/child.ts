import { type StdioOptions, spawn } from "node:child_process";
import { constants } from "node:os";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs Node to its end. A signal that would end this process ends it instead.
 * @returns its exit code; 128 and the signal's number where a signal ended it
 */
export function runNode(
  args: readonly string[],
  options: { readonly stdio: StdioOptions; readonly env?: NodeJS.ProcessEnv },
): Promise<number> {
  const child = spawn(process.execPath, args, options);
  // Whichever came: wrangler knows no SIGHUP, and a terminal has sent its own SIGINT to the child too.
  const stop = (): void => void child.kill("SIGTERM");
  for (const signal of SIGNALS) process.on(signal, stop);
  return new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
  }).finally(() => {
    for (const signal of SIGNALS) process.off(signal, stop);
  });
}
