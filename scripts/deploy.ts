import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { unstable_readConfig } from "wrangler";
import { runCommand } from "./lib/cli.ts";
import {
  type Check,
  checkAccount,
  checkAssets,
  checkConfig,
  checkPackages,
  checkScript,
  type DeployConfig,
  type Wrangler,
  warningsOf,
} from "./lib/deploy-checks.ts";
import { openBackend } from "./lib/open-model.ts";

const help = `npm run deploy [-- --dry-run --config FILE]

Builds, looks at everything that a deployment needs, says what is missing and what to do, and deploys when nothing is.

--dry-run  asks and uploads nothing: what shows without an account is checked, and wrangler bundles the Worker
--config   default wrangler.toml
`;

const WRANGLER = fileURLToPath(new URL("bin/wrangler.js", import.meta.resolve("wrangler/package.json")));

await runCommand({
  help,
  options: { "dry-run": { type: "boolean" }, config: { type: "string" } },
  positionals: { min: 0, max: 0 },
  async run(_, { "dry-run": dryRun, config: file = "wrangler.toml" }) {
    const config = String(file);
    const wrangler: Wrangler = (...args) => runWrangler([...args, "--config", config]);
    const { vars, assets } = readConfig(config);
    const outdir = await mkdtemp(join(tmpdir(), "mamba-edge-deploy-"));
    try {
      const bundled = await wrangler("deploy", "--dry-run", "--outdir", outdir);
      if (bundled.code !== 0) throw new Error(`wrangler cannot bundle the Worker:\n${bundled.stderr}${bundled.stdout}`);
      const checks: Check[] = [
        ...checkConfig({ vars, assets }),
        ...(await checkAssets(assets.directory)),
        ...(await checkPackages(assets.directory, vars, await openBackend("wasm"))),
        ...(await checkScript(outdir)),
        ...(dryRun === true ? [] : await checkAccount(wrangler)),
      ];
      for (const { what, problem } of checks) {
        process.stdout.write(problem === undefined ? `ok       ${what}\n` : `MISSING  ${what}\n         ${problem}\n`);
      }
      for (const warning of await warningsOf(assets.directory)) process.stderr.write(`warning: ${warning}\n`);
      process.stdout.write(
        "It takes a paid Workers plan: the free one's 10 ms of CPU a request cannot run a language model.\n",
      );
      const missing = checks.filter(({ problem }) => problem !== undefined).length;
      if (missing > 0) {
        process.stderr.write(`nothing was deployed: ${missing} of ${checks.length} are missing\n`);
        process.exitCode = 1;
      } else if (dryRun !== true) {
        process.exitCode = await deploy(config);
      }
    } finally {
      await rm(outdir, { recursive: true, force: true });
    }
  },
});

function readConfig(config: string): DeployConfig {
  const { vars, assets } = unstable_readConfig({ config }, { hideWarnings: true });
  if (assets?.directory === undefined) throw new Error(`${config} names no directory of assets: it needs [assets]`);
  return {
    vars,
    assets: { directory: resolve(dirname(config), assets.directory), runWorkerFirst: assets.run_worker_first ?? false },
  };
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
function deploy(config: string): Promise<number> {
  const child = spawn(process.execPath, [WRANGLER, "deploy", "--config", config], { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}
