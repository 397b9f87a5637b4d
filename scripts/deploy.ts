import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { unstable_readConfig } from "wrangler";
import { ASSETS_DIR, DEFAULT_ASSETS, ONLY_MODELS } from "./build-assets.ts";
import { runCommand, UsageError } from "./lib/cli.ts";
import {
  type Check,
  checkAccount,
  checkAssets,
  checkConfig,
  checkScript,
  type DeployConfig,
  DeployError,
  tally,
  type Wrangler,
} from "./lib/deploy-checks.ts";
import { checkDefaultModel, checkPackages, licencesOf, warningsOf } from "./lib/deploy-packages.ts";
import { openBackend } from "./lib/open-model.ts";

const help = `npm run deploy [-- --dry-run --models NAME,NAME --config FILE]

Builds, looks at everything that a deployment needs, says what is missing and what to do, and deploys when nothing is.

--dry-run  asks and uploads nothing: what shows without an account is checked, and wrangler bundles the Worker
--models   names or ids of the packages that go out, with commas between (default all of weights/models)
--config   default wrangler.toml
`;

/** What goes out is built here: `npm start` may serve dist/assets meanwhile, all of it. On the same disk, for hard links. */
const OUTGOING = "dist/deploy";
const WRANGLER = fileURLToPath(new URL("bin/wrangler.js", import.meta.resolve("wrangler/package.json")));

await runCommand({
  help,
  options: { "dry-run": { type: "boolean" }, models: { type: "string" }, config: { type: "string" } },
  positionals: { min: 0, max: 0 },
  async run(_, { "dry-run": dryRun, models, config: file = "wrangler.toml" }) {
    const config = String(file);
    if (process.env.npm_config_dry_run === "true" && dryRun !== true) {
      throw new UsageError("npm kept --dry-run for itself: write npm run deploy -- --dry-run");
    }
    if (models === "") throw new UsageError("--models is empty: name packages, with commas between");
    // The build that wrangler runs has it from there.
    if (typeof models === "string") process.env[ONLY_MODELS] = models;
    const wrangler: Wrangler = (...args) => runWrangler([...args, "--config", config]);
    const { vars, assets, bucket } = await withOwnAssets(readConfig(config));
    const outdir = await mkdtemp(join(tmpdir(), "mamba-edge-deploy-"));
    try {
      const bundled = await wrangler("deploy", "--dry-run", "--assets", assets.directory, "--outdir", outdir);
      if (bundled.code !== 0) throw new DeployError(bundlingProblem(bundled));
      const checks: Check[] = [
        ...checkConfig({ vars, assets }),
        ...(await checkAssets(assets.directory)),
        ...(await checkPackages(assets.directory, vars, await openBackend("wasm"))),
        ...(await checkDefaultModel(assets.directory, vars, bucket)),
        ...(await checkScript(outdir)),
        ...(dryRun === true ? [] : await checkAccount(wrangler)),
      ];
      for (const { what, problem, unknown } of checks) {
        const state = problem === undefined ? "ok     " : unknown ? "UNKNOWN" : "MISSING";
        process.stdout.write(`${state}  ${what}\n${problem === undefined ? "" : `         ${problem}\n`}`);
      }
      for (const licence of await licencesOf(assets.directory)) process.stdout.write(`licence  ${licence}\n`);
      for (const warning of await warningsOf(assets.directory)) process.stderr.write(`warning: ${warning}\n`);
      process.stdout.write(
        "It takes a paid Workers plan: the free one's 10 ms of CPU a request cannot run a language model.\n",
      );
      const lacking = tally(checks);
      if (lacking !== undefined) {
        process.stderr.write(`nothing was deployed: ${lacking}\n`);
        process.exitCode = 1;
      } else if (dryRun === true) {
        const how = `npm run deploy${typeof models === "string" ? ` -- --models ${models}` : ""}`;
        process.stdout.write(`nothing is missing: \`${how}\` looks at the account too, and uploads\n`);
      } else {
        process.exitCode = await deploy("--assets", assets.directory, "--config", config);
      }
    } finally {
      for (const folder of [outdir, OUTGOING]) await rm(folder, { recursive: true, force: true });
    }
  },
});

/** Has the build write into a folder of its own; where a configuration names other assets than the build's, they are left at that. */
async function withOwnAssets(config: DeployConfig): Promise<DeployConfig> {
  if (config.assets.directory !== resolve(DEFAULT_ASSETS)) return config;
  await rm(OUTGOING, { recursive: true, force: true });
  await mkdir(OUTGOING, { recursive: true });
  process.env[ASSETS_DIR] = resolve(OUTGOING);
  return { ...config, assets: { ...config.assets, directory: resolve(OUTGOING) } };
}

function readConfig(config: string): DeployConfig {
  const { vars, assets, r2_buckets: buckets } = parse(config);
  if (assets?.directory === undefined) {
    throw new DeployError(
      `${config} names no directory of assets: it needs [assets], as the wrangler.toml of this project has it`,
    );
  }
  return {
    vars,
    assets: { directory: resolve(dirname(config), assets.directory), runWorkerFirst: assets.run_worker_first ?? false },
    bucket: buckets.some((b: { binding: string }) => b.binding === "WEIGHTS"),
  };
}

function parse(config: string): ReturnType<typeof unstable_readConfig> {
  if (!existsSync(config)) throw new DeployError(`there is no ${config}: name the configuration with --config`);
  try {
    return unstable_readConfig({ config }, { hideWarnings: true });
  } catch (cause) {
    throw new DeployError(`wrangler cannot read ${config}: ${(cause as Error).message}`, { cause });
  }
}

/** Of a build that failed its own words alone: wrangler adds some hundred lines of its insides. */
function bundlingProblem({ stdout, stderr }: { readonly stdout: string; readonly stderr: string }): string {
  const said = [...stdout.matchAll(/^\[custom build\] (?!Running:)(.*\S.*)$/gm)].map(([, line]) => line);
  if (stderr.includes("Running custom build") && said.length > 0) return `the build failed:\n${said.join("\n")}`;
  return `wrangler cannot bundle the Worker:\n${stderr}${stdout}`;
}

function runWrangler(args: readonly string[]): ReturnType<Wrangler> {
  const env = { ...process.env, CI: "1", WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true" };
  const child = spawn(process.execPath, [WRANGLER, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  const out = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) child[name].on("data", (data: Buffer) => (out[name] += data));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 1, ...out }));
  });
}

/** The deployment itself, which shows what it does and may ask. @returns its exit code */
function deploy(...args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [WRANGLER, "deploy", ...args], { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}
