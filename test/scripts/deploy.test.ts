import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildAssets } from "../../scripts/build-assets.ts";
import {
  type Check,
  checkAccount,
  checkAssets,
  checkConfig,
  checkPackages,
  checkScript,
  type Wrangler,
  warningsOf,
} from "../../scripts/lib/deploy-checks.ts";
import { openBackend } from "../../scripts/lib/open-model.ts";
import { folderSink } from "../../weights/node/folder.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { tinyCheckpoint } from "../support/checkpoints.ts";
import { byteTokenizer } from "../support/tokenizers.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const problems = (checks: readonly Check[]): string => checks.flatMap(({ problem }) => problem ?? []).join("\n");

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mamba-edge-deploy-test-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the configuration", () => {
  const assets = { directory: "dist/assets", runWorkerFirst: ["/v1/*"] };
  const rows: [what: string, vars: Record<string, unknown>, first: string[] | boolean, problem: RegExp][] = [
    ["is fine as it comes", {}, ["/v1/*"], /^$/],
    ["may guard the weights", { PRIVATE_WEIGHTS: "1" }, ["/v1/*", "/weights/*"], /^$/],
    ["may guard everything", { PRIVATE_WEIGHTS: 1 }, true, /^$/],
    [
      "guards nothing that the CDN answers",
      { PRIVATE_WEIGHTS: "1" },
      ["/v1/*"],
      /add "\/weights\/\*" to run_worker_first/,
    ],
    ["is clear about the weights", { PRIVATE_WEIGHTS: "yes" }, true, /PRIVATE_WEIGHTS is "yes": it must be 0 or 1/],
    ["has numbers where they belong", { MAX_TOKENS: "many" }, [], /MAX_TOKENS is "many"/],
    ["keeps keys a secret", { API_KEYS: "k" }, [], /run `npx wrangler secret put API_KEYS`/],
  ];
  test.each(rows)("%s", (_, vars, runWorkerFirst, problem) => {
    expect(problems(checkConfig({ vars, assets: { ...assets, runWorkerFirst } }))).toMatch(problem);
  });
});

test("an asset above the CDN's 25 MiB is named with its size", async () => {
  const directory = join(folder, "large");
  await mkdir(directory);
  await writeFile(join(directory, "fits.bin"), "");
  await truncate(join(directory, "fits.bin"), 25 * 2 ** 20);
  expect(problems(await checkAssets(directory))).toBe("");
  await writeFile(join(directory, "shard.bin"), "");
  await truncate(join(directory, "shard.bin"), 26 * 2 ** 20);
  expect(problems(await checkAssets(directory))).toMatch(/large.shard\.bin has 26\.0 MiB: an asset may have 25/);
});

test("packages must be there, and fit the isolate's memory", async () => {
  const backend = await openBackend("wasm");
  const out = join(folder, "assets");
  expect(problems(await checkPackages(out, {}, backend))).toMatch(/there are none: .*npm run convert/);
  const checkpoint = { ...tinyCheckpoint({ seed: 1 }), tokenizer: byteTokenizer() };
  const sink = await folderSink(join(folder, "models/tiny"));
  const { id } = await convertCheckpoint(checkpoint, { name: "tiny", quantization: "f32" }, sink);
  await buildAssets(join(folder, "models"), out);
  expect(await checkPackages(out, {}, backend)).toEqual([{ what: expect.stringContaining(`${id}, `) }]);
  expect(await warningsOf(out)).toEqual([]);
  const twin = await folderSink(join(folder, "models/twin"));
  const other = { ...tinyCheckpoint({ seed: 2 }), tokenizer: byteTokenizer() };
  await convertCheckpoint(other, { name: "tiny", quantization: "f32" }, twin);
  await buildAssets(join(folder, "models"), out);
  expect(await warningsOf(out)).toEqual([
    expect.stringMatching(new RegExp(`2 packages are named "tiny": requests for "tiny" get ${id}, tiny@`)),
  ]);
  const small = problems(await checkPackages(out, { MEMORY_BUDGET_MB: 0.1 }, backend));
  expect(small).toMatch(new RegExp(`^${id}: .*the budget is 0\\.1 MB`));
});

describe("the account", () => {
  const wrangler =
    (answers: Record<string, { code?: number; stdout?: string; stderr?: string }>): Wrangler =>
    async (command) => ({ code: 0, stdout: "", stderr: "", ...answers[command!] });
  const rows: [what: string, wrangler: Wrangler, problem: RegExp][] = [
    ["no login", wrangler({ whoami: { code: 1 } }), /run `npx wrangler login`, or set CLOUDFLARE_API_TOKEN/],
    ["no keys", wrangler({ secret: { stdout: "[]" } }), /run `npx wrangler secret put API_KEYS`/],
    ["other secrets", wrangler({ secret: { stdout: '[{"name":"OTHER","type":"secret_text"}]' } }), /has no API_KEYS/],
    ["no Worker yet", wrangler({ secret: { code: 1, stderr: "Worker not found [code: 10007]" } }), /has no API_KEYS/],
    ["no answer", wrangler({ secret: { code: 1, stderr: "fetch failed" } }), /cannot list the secrets: fetch failed/],
    ["all there", wrangler({ secret: { stdout: '[{"name":"API_KEYS","type":"secret_text"}]' } }), /^$/],
  ];
  test.each(rows)("%s", async (_, wrangler, problem) => {
    expect(problems(await checkAccount(wrangler))).toMatch(problem);
  });
});

test("npm run deploy -- --dry-run bundles this tree's Worker and checks it, its assets and its packages", async () => {
  const args = ["scripts/deploy.ts", "--dry-run"];
  const { stdout, stderr } = await run(process.execPath, args, { cwd: root, timeout: 110_000 });
  expect(stderr).toBe("");
  expect(stdout).not.toContain("MISSING");
  expect(stdout.match(/^ok {7}/gm)!.length).toBeGreaterThanOrEqual(6);
  expect(stdout).toMatch(/the script has 0*[\d.]+ MiB, [\d.]+ compressed/);
  expect(stdout).toMatch(/assets, \d+\.\d MiB/);
  expect(problems(await checkScript(join(folder, "nothing")))).toMatch(/there is no script/);
});

test("a configuration that lacks something deploys nothing, and says what", async () => {
  const toml = await readFile(join(root, "wrangler.toml"), "utf8");
  const config = join(root, "dist/deploy-test.toml");
  const paths = toml
    .replace('"worker/', '"../worker/')
    .replace('"./dist/assets"', '"./assets"')
    .replace('command = "npm run --silent build"', 'command = ""');
  await writeFile(config, `${paths}\n[vars]\nPRIVATE_WEIGHTS = "1"\n`);
  try {
    const command = run(process.execPath, ["scripts/deploy.ts", "--dry-run", "--config", config], { cwd: root });
    await expect(command).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^MISSING {2}PRIVATE_WEIGHTS is what run_worker_first says$/m),
      stderr: expect.stringMatching(/^nothing was deployed: 1 of \d+ are missing$/m),
    });
  } finally {
    await rm(config);
  }
});
