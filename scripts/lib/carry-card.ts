import { copyFile, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CARD_FILE, LICENSE_FILE } from "../../weights/writer.ts";

/** Names of files. */
export interface Cards {
  /** that were copied. */
  readonly carried: readonly string[];
  /** that were there already, and are not the checkpoint's: perhaps of another one that was converted into the same folder. */
  readonly kept: readonly string[];
}

/**
 * Puts a checkpoint's card and licence beside its package, so that they go out with it. What is there already stays: a package's own card
 * says more.
 * @param checkpoint its folder, or a file in it
 */
export async function carryCard(checkpoint: string, packageFolder: string): Promise<Cards> {
  const folder = (await stat(checkpoint)).isDirectory() ? checkpoint : dirname(checkpoint);
  const carried: string[] = [];
  const kept: string[] = [];
  for (const file of [CARD_FILE, LICENSE_FILE]) {
    const [source, target] = [join(folder, file), join(packageFolder, file)];
    const [given, there] = await Promise.all([readOf(source), readOf(target)]);
    if (there !== undefined) {
      if (given === undefined || !there.equals(given)) kept.push(file);
    } else if (given !== undefined) {
      await copyFile(source, target);
      carried.push(file);
    }
  }
  return { carried, kept };
}

async function readOf(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file);
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return undefined;
    throw error;
  }
}
