import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeManifest } from "../../../weights/codec.ts";
import { readManifest } from "../../../weights/loader.ts";
import { MANIFEST_FILE } from "../../../weights/manifest.ts";
import { folderSource } from "../../../weights/node/folder.ts";
import { UsageError } from "../cli.ts";
import { card } from "./card.ts";
import { readEvaluation } from "./evaluate.ts";
import { TASKS } from "./tasks.ts";

/**
 * Writes the card of a package that is there anew, and in its manifest with how many examples it was trained: both follow from its
 * evaluation. Its weights and its id stay.
 * @returns the id
 */
export async function refreshPackage(folder: string): Promise<string> {
  if (!existsSync(join(folder, MANIFEST_FILE)))
    throw new UsageError(`${folder} is no package: it has no ${MANIFEST_FILE}; leave --cards out to package cells`);
  const evaluation = readEvaluation(folder);
  const { trainedExamples: _, ...manifest } = await readManifest(folderSource(folder));
  const trainedExamples = TASKS[evaluation.task]?.examples;
  const bytes = await encodeManifest({ ...manifest, ...(trainedExamples !== undefined && { trainedExamples }) });
  writeFileSync(join(folder, MANIFEST_FILE), bytes);
  writeFileSync(join(folder, "README.md"), card(manifest.name, manifest.quantization, evaluation));
  return manifest.id;
}
