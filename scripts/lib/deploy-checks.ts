import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { checkVariables } from "./deploy-variables.ts";

/** Cloudflare's limits of a paid plan: https://developers.cloudflare.com/workers/platform/limits */
const MOST_ASSETS = 100_000;
const ASSET_BYTES = 25 * 1024 * 1024;
const SCRIPT_BYTES = 64 * 1024 * 1024;
const SCRIPT_GZIP_BYTES = 10 * 1024 * 1024;

/** A deployment that cannot even be looked at: the message says what was wrong and what to do. */
export class DeployError extends Error {
  override readonly name = "DeployError";
}

/** What was looked at, and what is wrong with it and how to mend it. */
export interface Check {
  readonly what: string;
  readonly problem?: string | undefined;
  /** it could not be looked at: the problem says why. */
  readonly unknown?: true | undefined;
}

/** How much is missing or unknown, in words; undefined where nothing is. */
export function tally(checks: readonly Check[]): string | undefined {
  const unknown = checks.filter((check) => check.unknown).length;
  const missing = checks.filter(({ problem }) => problem !== undefined).length - unknown;
  if (missing + unknown === 0) return undefined;
  const verb = (count: number): string => (count === 1 ? "is" : "are");
  const of = `of ${checks.length}`;
  if (missing === 0) return `${unknown} ${of} ${verb(unknown)} unknown`;
  return `${missing} ${of} ${verb(missing)} missing${unknown === 0 ? "" : `, ${unknown} ${verb(unknown)} unknown`}`;
}

/** The parts of wrangler.toml that are looked at. */
export interface DeployConfig {
  readonly vars: Readonly<Record<string, unknown>>;
  readonly assets: { readonly directory: string; readonly runWorkerFirst: boolean | readonly string[] };
  /** whether an R2 bucket may hold more packages. */
  readonly bucket: boolean;
}

/** Variables and paths that contradict each other, or say what only a secret may. */
export function checkConfig({ vars, assets }: Pick<DeployConfig, "vars" | "assets">): Check[] {
  const first = assets.runWorkerFirst;
  const guarded = first === true || (Array.isArray(first) && first.includes("/weights/*"));
  return [
    ...checkVariables(vars),
    {
      what: "API_KEYS are no plain variable",
      problem:
        vars.API_KEYS === undefined
          ? undefined
          : "wrangler.toml has API_KEYS under [vars], where everybody with the code can read them: run `npx wrangler secret put API_KEYS` instead",
    },
    {
      what: "PRIVATE_WEIGHTS is what run_worker_first says",
      problem:
        guarded || String(vars.PRIVATE_WEIGHTS ?? "") !== "1"
          ? undefined
          : 'PRIVATE_WEIGHTS is 1 and the CDN would still give the weights to anyone: add "/weights/*" to run_worker_first',
    },
  ];
}

/** The files that go to the CDN. */
export async function checkAssets(directory: string): Promise<Check[]> {
  const files = await filesBelow(directory);
  const large = files.filter(({ bytes }) => bytes > ASSET_BYTES);
  const all = files.reduce((sum, { bytes }) => sum + bytes, 0);
  return [
    {
      what: `${files.length} assets, ${mib(all)} MiB, the largest ${mib(Math.max(0, ...files.map((f) => f.bytes)))} MiB`,
      problem:
        large.length > 0
          ? `${large.map(({ file, bytes }) => `${file} has ${mib(bytes)} MiB`).join(", ")}: an asset may have 25; keep such files in R2`
          : files.length > MOST_ASSETS
            ? `${files.length} assets: a deployment may have ${MOST_ASSETS}; keep some packages in R2`
            : undefined,
    },
  ];
}

/** The Worker as it is bundled. @param folder what `wrangler deploy --dry-run --outdir` wrote */
export async function checkScript(folder: string): Promise<Check[]> {
  const files = (await filesBelow(folder)).filter(({ file }) => /\.(js|mjs|wasm|bin)$/.test(file));
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const packed = await Promise.all(files.map(async ({ file }) => gzipSync(await readFile(file)).byteLength));
  const gzip = packed.reduce((sum, size) => sum + size, 0);
  const over = bytes > SCRIPT_BYTES || gzip > SCRIPT_GZIP_BYTES;
  return [
    {
      what: `the script has ${mib(bytes)} MiB, ${mib(gzip)} compressed`,
      problem:
        bytes === 0
          ? `there is no script in ${folder}`
          : over
            ? `the script has ${mib(bytes)} MiB, ${mib(gzip)} compressed: it may have 64 and 10`
            : undefined,
    },
  ];
}

/** Runs wrangler. */
export type Wrangler = (...args: string[]) => Promise<{ code: number; stdout: string; stderr: string }>;

/** What Cloudflare knows of the account: whether there is one, and whether the Worker has its keys. */
export async function checkAccount(wrangler: Wrangler): Promise<Check[]> {
  const login = "logged in at Cloudflare";
  const keys = "API_KEYS are set";
  const who = await wrangler("whoami", "--json");
  if (who.code !== 0) {
    const how = "run `npx wrangler login`, or set CLOUDFLARE_API_TOKEN (and CLOUDFLARE_ACCOUNT_ID) where no browser is";
    return [
      { what: login, problem: `wrangler has no login that works: ${how}` },
      { what: keys, problem: "that shows only after the login", unknown: true },
    ];
  }
  const secrets = await wrangler("secret", "list", "--format", "json");
  const set =
    secrets.code === 0 && (JSON.parse(secrets.stdout) as { name: string }[]).some((s) => s.name === "API_KEYS");
  // 10007: the Worker is not there yet; putting a secret makes it.
  const unknown = secrets.code !== 0 && !/10007|not found|does not exist/i.test(secrets.stderr + secrets.stdout);
  return [
    { what: login },
    {
      what: keys,
      unknown: unknown || undefined,
      problem: unknown
        ? `wrangler cannot list the secrets: ${secrets.stderr.trim()}`
        : set
          ? undefined
          : "the Worker has no API_KEYS, and would answer nobody: run `npx wrangler secret put API_KEYS`",
    },
  ];
}

interface File {
  readonly file: string;
  readonly bytes: number;
}

async function filesBelow(folder: string): Promise<File[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(files.map(async (file) => ({ file, bytes: (await stat(file)).size })));
}

export function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
