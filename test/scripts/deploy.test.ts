import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
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
  checkScript,
  type Wrangler,
} from "../../scripts/lib/deploy-checks.ts";
import { checkDefaultModel, checkPackages, licencesOf, warningsOf } from "../../scripts/lib/deploy-packages.ts";
import { licenceOf } from "../../scripts/lib/licence.ts";
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
    [
      "has every number where it belongs",
      { RATE_LIMIT_PER_MINUTE: "0" },
      [],
      /RATE_LIMIT_PER_MINUTE is "0": it must be a number/,
    ],
    ["has no variable that nothing reads", { MAX_TOKEN: 5 }, [], /nothing reads MAX_TOKEN, .*known are .*MAX_TOKENS,/],
    ["has none of Object's", { toString: 5 }, [], /nothing reads toString,/],
    ["has a level of the log", { LOG_LEVEL: "debug" }, [], /LOG_LEVEL is "debug": it must be info or error/],
    ["may name origins", { CORS_ORIGINS: "https://a.example, http://localhost:3000" }, [], /^$/],
    [
      "names them as browsers do",
      { CORS_ORIGINS: "https://a.example/" },
      [],
      /holds "https:\/\/a\.example\/": .*without a path/,
    ],
    [
      "has numbers, and no lists or switches, where numbers belong",
      { MEMORY_BUDGET_MB: true, RATE_LIMIT_PER_MINUTE: [5], PRIVATE_WEIGHTS: [] },
      [],
      /^variable MEMORY_BUDGET_MB is true: .*\nvariable RATE_LIMIT_PER_MINUTE is \[5\]: .*\nvariable PRIVATE_WEIGHTS is \[\]: it must be 0/,
    ],
    [
      "counts in whole numbers",
      { MAX_SEQUENCES: 1.5, MAX_TOKENS: "2.5", MAX_PROMPT_TOKENS: "1e3" },
      [],
      /^variable MAX_SEQUENCES is 1\.5: it must be a whole .*\nvariable MAX_TOKENS is "2\.5": it must be a whole number above 0$/,
    ],
    ["names a model in words", { DEFAULT_MODEL: 7 }, [], /DEFAULT_MODEL is 7: it must be a text/],
    [
      "is told all that is wrong at once",
      { MEMORY_BUDGET_MB: "lots", PREFIX_STORE: "no", LOG_LEVEL: "error" },
      [],
      /^variable MEMORY_BUDGET_MB is "lots": .*\nvariable PREFIX_STORE is "no": it must be on or off$/,
    ],
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
  expect(small).toMatch(new RegExp(`^${id} needs .*the budget is 0\\.1 MB.*\\. Or leave it out: --models$`, "m"));
  // A variable that cannot be read has its own check, and takes none of the others away.
  expect(problems(await checkPackages(out, { MEMORY_BUDGET_MB: "lots" }, backend))).toBe("");

  expect(await checkDefaultModel(out, {}, false)).toEqual([]);
  for (const DEFAULT_MODEL of ["tiny", id]) {
    expect(problems(await checkDefaultModel(out, { DEFAULT_MODEL }, false))).toBe("");
  }
  const unknown = await checkDefaultModel(out, { DEFAULT_MODEL: "tine" }, false);
  expect(problems(unknown)).toBe('DEFAULT_MODEL is "tine", and out go tiny, tiny: name one of them, or take it away');
  const [inBucket] = await checkDefaultModel(out, { DEFAULT_MODEL: "tine" }, true);
  expect(inBucket).toEqual({ what: expect.stringMatching(/"tine", which must lie in the bucket/) });

  await writeFile(join(folder, "models/tiny/README.md"), "---\nlicense: mit\n---\n# tiny\n");
  await buildAssets(join(folder, "models"), out);
  expect(await licencesOf(out)).toEqual(["tiny: mit", expect.stringMatching(/^tiny: unknown: say it in README\.md/)]);
  await writeFile(join(folder, "models/twin/LICENSE"), "…");
  await buildAssets(join(folder, "models"), out);
  expect((await licencesOf(out))[1]).toBe("tiny: see LICENSE in its package");
});

test.each<[card: string, licence: string | undefined]>([
  ["---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n", "apache-2.0"],
  ['---\r\nlicense: "other"\r\nlicense_name: falcon-llm\r\n---\r\n', "falcon-llm"],
  ["---\nlicense: other\n---\n", "other"],
  ["# A model\n\n| | |\n|---|---|\n| layers | 3 |\n| licence of the weights | CC BY-SA 4.0 |\n", "CC BY-SA 4.0"],
  ["---\nlicense: \nlanguage: en\n---\n| licence | MIT |\n", "MIT"],
  ["---\nlicense: mit\u001b[2J\n---\n", "mit[2J"],
  ["| terms | for research only |\n", "for research only"],
  ["# A model\n\nlicense: mit\n", undefined],
  ["", undefined],
])("the licence of the card %j is %j", (card, licence) => {
  expect(licenceOf(card)).toBe(licence);
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

test("npm run deploy -- --dry-run bundles this tree's Worker and checks it, its assets and its packages; dist/assets stays as it is", async () => {
  const served = async (): Promise<unknown> => {
    const names = ["index.html", "client.js", "weights/index.json"];
    return Promise.all(names.map(async (name) => (await stat(join(root, "dist/assets", name))).mtimeMs));
  };
  const before = await served();
  const args = ["scripts/deploy.ts", "--dry-run"];
  const { stdout, stderr } = await run(process.execPath, args, { cwd: root, timeout: 110_000 });
  expect(stderr).toBe("");
  expect(stdout).not.toContain("MISSING");
  expect(stdout.match(/^ok {7}/gm)!.length).toBeGreaterThanOrEqual(6);
  expect(stdout).toMatch(/the script has 0*[\d.]+ MiB, [\d.]+ compressed/);
  expect(stdout).toMatch(/assets, \d+\.\d MiB/);
  const licences = new Map(
    [...stdout.matchAll(/^licence {2}(\S+): (.*)$/gm)].map(([, name, licence]) => [name, licence]),
  );
  for (const name of ["fable-31m", "fable-31m-q4", "imagenette-vmamba-6m", "icl-linear-mamba"]) {
    expect(licences.get(name)).toMatch(/^(CC BY-SA 4\.0|Apache-2\.0$|.*research only)/);
  }
  expect(stdout).toMatch(/\nnothing is missing: `npm run deploy` looks at the account too, and uploads\n$/);
  expect(problems(await checkScript(join(folder, "nothing")))).toMatch(/there is no script/);
  expect(await served()).toEqual(before);
  expect(existsSync(join(root, "dist/deploy"))).toBe(false);
});

/** Runs a dry run with a configuration beside this tree's, whose assets have a folder of their own. */
async function dryRun(
  edit: (toml: string) => string,
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const own = await mkdtemp(join(root, "dist/deploy-test-"));
  const config = join(own, "wrangler.toml");
  const toml = (await readFile(join(root, "wrangler.toml"), "utf8"))
    .replace('"worker/', '"../../worker/')
    .replace('command = "npm run --silent build"', `command = "node scripts/build-assets.ts --out ${own}/assets"`)
    .replace('"./dist/assets"', '"./assets"');
  await writeFile(config, edit(toml));
  try {
    return await run(process.execPath, ["scripts/deploy.ts", "--dry-run", "--config", config, ...args], {
      cwd: root,
    }).then(
      (out) => ({ code: 0, ...out }),
      ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
    );
  } finally {
    await rm(own, { recursive: true });
  }
}

test("a configuration that lacks something deploys nothing, and says what, all at once", async () => {
  const vars = '[vars]\nPRIVATE_WEIGHTS = "1"\nMEMORY_BUDGET_MB = "lots"\nMAX_TOKEN = 5\nDEFAULT_MODEL = "fable"\n';
  const { code, stdout, stderr } = await dryRun((toml) => `${toml}\n${vars}`);
  expect(code).toBe(1);
  expect([...stdout.matchAll(/^MISSING {2}(.*)$/gm)].map(([, what]) => what)).toEqual([
    "variable MEMORY_BUDGET_MB",
    "variable MAX_TOKEN",
    "PRIVATE_WEIGHTS is what run_worker_first says",
    "DEFAULT_MODEL is a model that goes out",
  ]);
  expect(stdout).not.toContain("nothing is missing");
  expect(stderr).toMatch(/^nothing was deployed: 4 of \d+ are missing\n$/);
});

test("--models says which packages go out; one that is not there is named with those that are", async () => {
  const two = await dryRun((toml) => toml, "--models", "icl-linear-mamba, imagenette-vmamba-6m");
  expect([two.code, two.stderr]).toEqual([0, ""]);
  const licences = [...two.stdout.matchAll(/^licence {2}(\S+):/gm)].map(([, name]) => name);
  expect(licences).toEqual(["icl-linear-mamba", "imagenette-vmamba-6m"]);
  const none = await dryRun((toml) => toml, "--models", "fable-31m,nope");
  expect([none.code, none.stdout]).toEqual([1, ""]);
  expect(none.stderr).toMatch(
    /^error: the build failed:\nerror: there is no package nope in weights\/models: there are fable-31m, .*\n$/,
  );
  expect((await dryRun((toml) => toml, "--models", "")).stderr).toMatch(/^error: --models is empty/);
});

test.each<[what: string, edit: (toml: string) => string, message: RegExp]>([
  ["is no TOML", (toml) => `${toml}\n[vars`, /^error: wrangler cannot read /],
  [
    "has no assets",
    (toml) => toml.replace(/\[assets\][^[]*(\[[^\]\n]*\]\n)?/, ""),
    /^error: .* names no directory of assets/,
  ],
])("a configuration that %s is told in words", async (_, edit, message) => {
  const { code, stderr } = await dryRun(edit);
  expect(code).toBe(1);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/\n\s+at /);
});
