import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Backend } from "../../kernels/backend.ts";
import { folderSource } from "../../weights/node/folder.ts";
import { CARD_FILE, LICENSE_FILE } from "../../weights/writer.ts";
import { limitsOf, type Variables } from "../../worker/edge/limits.ts";
import { INDEX_FILE, type IndexEntry, IndexFile, named } from "../../worker/edge/models/index-file.ts";
import { overBudget } from "../../worker/edge/models/over-budget.ts";
import { MemoryBudgetError } from "../../worker/engine/errors.ts";
import { Model } from "../../worker/engine/model.ts";
import { sharedNames } from "../build-assets.ts";
import { type Check, type DeployConfig, mib } from "./deploy-checks.ts";
import { licenceOf } from "./licence.ts";

type Vars = DeployConfig["vars"];

/** Whether each package can be opened within an isolate's memory. */
export async function checkPackages(directory: string, vars: Vars, backend: Backend): Promise<Check[]> {
  const entries = await readIndex(directory);
  if (entries.length === 0) {
    return [{ what: "model packages", problem: "there are none: put one into weights/models (npm run convert)" }];
  }
  const { memoryBudget, maxSequences } = readLimits(vars);
  const checks: Check[] = [];
  for (const { id, bytes } of entries) {
    const what = `${id}, ${mib(bytes)} MiB of weights, fits the budget of ${memoryBudget / 1e6} MB`;
    const options = { memoryBudget, sequences: maxSequences };
    try {
      (await Model.open(folderSource(packageFolder(directory, id)), backend, options)).dispose();
      checks.push({ what });
    } catch (error) {
      const problem =
        error instanceof MemoryBudgetError
          ? `${overBudget(error).message}. Or leave it out: --models`
          : (error as Error).message;
      checks.push({ what, problem });
    }
  }
  return checks;
}

/** Whether requests that name no model get one. @param bucket whether packages may lie in R2 too */
export async function checkDefaultModel(directory: string, vars: Vars, bucket: boolean): Promise<Check[]> {
  const model = vars.DEFAULT_MODEL;
  if (typeof model !== "string" || model === "") return [];
  const entries = await readIndex(directory);
  const what = `DEFAULT_MODEL is a model that goes out`;
  if (named(entries, model) !== undefined) return [{ what }];
  const names = entries.map(({ name }) => name).join(", ") || "none";
  if (bucket) return [{ what: `DEFAULT_MODEL is "${model}", which must lie in the bucket: out go ${names}` }];
  return [{ what, problem: `DEFAULT_MODEL is "${model}", and out go ${names}: name one of them, or take it away` }];
}

/** A line for each package: what its card says of its licence. */
export async function licencesOf(directory: string): Promise<string[]> {
  return Promise.all(
    (await readIndex(directory)).map(async ({ id, name }) => {
      const folder = packageFolder(directory, id);
      const card = await readFile(join(folder, CARD_FILE), "utf8").catch(() => "");
      const file = existsSync(join(folder, LICENSE_FILE)) ? `see ${LICENSE_FILE} in its package` : undefined;
      const none = `unknown: say it in ${CARD_FILE} in its package's folder, as "license: …" between two lines of ---`;
      return `${name}: ${licenceOf(card) ?? file ?? none}`;
    }),
  );
}

/** What is no reason not to deploy, and yet perhaps not meant. */
export async function warningsOf(directory: string): Promise<string[]> {
  return sharedNames(await readIndex(directory));
}

/** The limits; where a variable cannot be read, which has a check of its own, those of none. */
function readLimits(vars: Vars): ReturnType<typeof limitsOf> {
  try {
    return limitsOf(vars as Variables);
  } catch {
    return limitsOf({});
  }
}

function packageFolder(directory: string, id: string): string {
  return join(directory, "weights", id);
}

async function readIndex(directory: string): Promise<IndexEntry[]> {
  const index = await readFile(join(directory, "weights", INDEX_FILE), "utf8").catch(() => "[]");
  return IndexFile.parse(JSON.parse(index));
}
