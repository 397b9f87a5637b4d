import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildAssets } from "../../scripts/build-assets.ts";
import { type Check, checkScript } from "../../scripts/lib/deploy-checks.ts";
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

/** Runs the command with a configuration beside this tree's, whose assets have a folder of their own. */
async function deploy(
  edit: (toml: string) => string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const own = await mkdtemp(join(root, "dist/deploy-test-"));
  const config = join(own, "wrangler.toml");
  const toml = (await readFile(join(root, "wrangler.toml"), "utf8"))
    .replace('"worker/', '"../../worker/')
    .replace('command = "npm run --silent build"', `command = "node scripts/build-assets.ts --out ${own}/assets"`)
    .replace('"./dist/assets"', '"./assets"');
  await writeFile(config, edit(toml));
  try {
    return await run(process.execPath, ["scripts/deploy.ts", "--config", config, ...args], {
      cwd: root,
      env: { ...process.env, ...env },
    }).then(
      (out) => ({ code: 0, ...out }),
      ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
    );
  } finally {
    await rm(own, { recursive: true });
  }
}

const dryRun = (edit: (toml: string) => string, ...args: string[]): ReturnType<typeof deploy> =>
  deploy(edit, ["--dry-run", ...args]);

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

test("without a login the keys are unknown, and not missing; the --dry-run that npm kept for itself is no deployment", async () => {
  // Nobody's login, and a variable that lets nothing out whoever runs this.
  const env = { HOME: folder, XDG_CONFIG_HOME: folder, CLOUDFLARE_API_TOKEN: "", CLOUDFLARE_API_KEY: "" };
  const edit = (toml: string): string => `${toml}\n[vars]\nMAX_TOKEN = 5\n`;
  const { code, stdout, stderr } = await deploy(edit, ["--models", "icl-linear-mamba"], env);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^nothing was deployed: 2 of \d+ are missing, 1 is unknown\n$/);
  expect(stdout).toMatch(/^MISSING {2}logged in at Cloudflare\n/m);
  expect(stdout).toMatch(/^UNKNOWN {2}API_KEYS are set\n {9}that shows only after the login\n/m);
  const kept = await deploy(edit, [], { ...env, npm_config_dry_run: "true" });
  expect([kept.code, kept.stdout]).toEqual([1, ""]);
  expect(kept.stderr).toMatch(/^error: npm kept --dry-run for itself: write npm run deploy -- --dry-run\n/);
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
