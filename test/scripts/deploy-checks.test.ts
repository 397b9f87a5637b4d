import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Check,
  checkAccount,
  checkAssets,
  checkConfig,
  tally,
  type Wrangler,
} from "../../scripts/lib/deploy-checks.ts";

const problems = (checks: readonly Check[]): string => checks.flatMap(({ problem }) => problem ?? []).join("\n");

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "mamba-edge-large-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

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
  await writeFile(join(directory, "fits.bin"), "");
  await truncate(join(directory, "fits.bin"), 25 * 2 ** 20);
  expect(problems(await checkAssets(directory))).toBe("");
  await writeFile(join(directory, "shard.bin"), "");
  await truncate(join(directory, "shard.bin"), 26 * 2 ** 20);
  expect(problems(await checkAssets(directory))).toMatch(/shard\.bin has 26\.0 MiB: an asset may have 25/);
});

describe("the account", () => {
  const wrangler =
    (answers: Record<string, { code?: number; stdout?: string; stderr?: string }>): Wrangler =>
    async (command) => ({ code: 0, stdout: "", stderr: "", ...answers[command!] });
  const secrets = (...names: string[]): { stdout: string } => ({
    stdout: JSON.stringify(names.map((name) => ({ name, type: "secret_text" }))),
  });
  const missing = "1 of 2 is missing";
  const rows: [what: string, wrangler: Wrangler, problem: RegExp, tally?: string][] = [
    [
      "no login",
      wrangler({ whoami: { code: 1 } }),
      /run `npx wrangler login`, or set CLOUDFLARE_API_TOKEN/,
      `${missing}, 1 is unknown`,
    ],
    ["no keys", wrangler({ secret: secrets() }), /run `npx wrangler secret put API_KEYS`/, missing],
    ["other secrets", wrangler({ secret: secrets("OTHER") }), /has no API_KEYS/, missing],
    [
      "no Worker yet",
      wrangler({ secret: { code: 1, stderr: "Worker not found [code: 10007]" } }),
      /has no API_KEYS/,
      missing,
    ],
    [
      "no answer",
      wrangler({ secret: { code: 1, stderr: "fetch failed" } }),
      /cannot list the secrets: fetch failed/,
      "1 of 2 is unknown",
    ],
    ["all there", wrangler({ secret: secrets("API_KEYS") }), /^$/],
  ];
  test.each(rows)("%s", async (_, wrangler, problem, told) => {
    const checks = await checkAccount(wrangler);
    expect(problems(checks)).toMatch(problem);
    expect(tally(checks)).toBe(told);
  });
});
