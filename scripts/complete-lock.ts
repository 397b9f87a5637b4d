import { readFileSync, writeFileSync } from "node:fs";
import { runCommand } from "./lib/cli.ts";

/**
 * npm leaves an optional dependency that its registry cannot resolve out of package-lock.json, and `npm ci` then refuses the lock.
 * This adds what is missing, so that the lock serves every platform.
 */

interface LockEntry {
  version?: string;
  optionalDependencies?: Record<string, string>;
  [key: string]: unknown;
}

await runCommand({
  help: `npm run lock: installs what package.json names, then completes package-lock.json with the optional packages of other platforms.\n`,
  options: {},
  positionals: { min: 0, max: 0 },
  async run() {
    const file = "package-lock.json";
    const lock = JSON.parse(readFileSync(file, "utf8")) as { packages: Record<string, LockEntry> };
    for (const entry of Object.values({ ...lock.packages })) {
      for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
        const key = `node_modules/${name}`;
        if (lock.packages[key] !== undefined) continue;
        lock.packages[key] = { version, ...platformOf(name), dev: true, optional: true };
        process.stderr.write(`added ${key} ${version}\n`);
      }
    }
    lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
    writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  },
});

function platformOf(name: string): { os: string[]; cpu: string[] } {
  const os = /darwin/.test(name) ? "darwin" : /win/.test(name) ? "win32" : "linux";
  const cpu = /arm64/.test(name) ? "arm64" : /arm/.test(name) ? "arm" : "x64";
  return { os: [os], cpu: [cpu] };
}
