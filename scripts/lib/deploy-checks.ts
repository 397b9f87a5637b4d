import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Backend } from "../../kernels/backend.ts";
import { folderSource } from "../../weights/node/folder.ts";
import { limitsOf, privateWeights, type Variables } from "../../worker/edge/limits.ts";
import { INDEX_FILE, type IndexEntry, IndexFile } from "../../worker/edge/models/index-file.ts";
import { overBudget } from "../../worker/edge/models/over-budget.ts";
import { MemoryBudgetError } from "../../worker/engine/errors.ts";
import { Model } from "../../worker/engine/model.ts";
import { sharedNames } from "../build-assets.ts";

/** Cloudflare's limits of a paid plan: https://developers.cloudflare.com/workers/platform/limits */
const MOST_ASSETS = 100_000;
const ASSET_BYTES = 25 * 1024 * 1024;
const SCRIPT_BYTES = 64 * 1024 * 1024;
const SCRIPT_GZIP_BYTES = 10 * 1024 * 1024;

/** What was looked at, and what is wrong with it and how to mend it. */
export interface Check {
  readonly what: string;
  readonly problem?: string | undefined;
}

/** The parts of wrangler.toml that are looked at. */
export interface DeployConfig {
  readonly vars: Readonly<Record<string, unknown>>;
  readonly assets: { readonly directory: string; readonly runWorkerFirst: boolean | readonly string[] };
}

/** Variables and paths that contradict each other, or say what only a secret may. */
export function checkConfig({ vars, assets }: DeployConfig): Check[] {
  const env = vars as Variables;
  const first = assets.runWorkerFirst;
  const guarded = first === true || (Array.isArray(first) && first.includes("/weights/*"));
  return [
    { what: "variables can be read", problem: messageOf(() => [limitsOf(env), privateWeights(env)]) },
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

/** What is no reason not to deploy, and yet perhaps not meant. */
export async function warningsOf(directory: string): Promise<string[]> {
  return sharedNames(await readIndex(directory));
}

async function readIndex(directory: string): Promise<IndexEntry[]> {
  const index = await readFile(join(directory, "weights", INDEX_FILE), "utf8").catch(() => "[]");
  return IndexFile.parse(JSON.parse(index));
}

/** Whether each package can be opened within an isolate's memory. */
export async function checkPackages(directory: string, vars: DeployConfig["vars"], backend: Backend): Promise<Check[]> {
  const weights = join(directory, "weights");
  const entries = await readIndex(directory);
  if (entries.length === 0) {
    return [{ what: "model packages", problem: "there are none: put one into weights/models (npm run convert)" }];
  }
  const { memoryBudget, maxSequences } = limitsOf(vars as Variables);
  const checks: Check[] = [];
  for (const { id, bytes } of entries) {
    const what = `${id}, ${mib(bytes)} MiB of weights, fits the budget of ${memoryBudget / 1e6} MB`;
    const options = { memoryBudget, sequences: maxSequences };
    try {
      (await Model.open(folderSource(join(weights, id)), backend, options)).dispose();
      checks.push({ what });
    } catch (error) {
      const over = error instanceof MemoryBudgetError;
      checks.push({ what, problem: over ? `${id}: ${overBudget(error).message}` : (error as Error).message });
    }
  }
  return checks;
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
      { what: keys, problem: "that shows only after the login" },
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

function messageOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
