import { constants } from "node:fs";
import { copyFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CARD_FILE, LICENSE_FILE } from "../../weights/writer.ts";

/**
 * Puts a checkpoint's card and licence beside its package, so that they go out with it. What is there already stays: a package's own card
 * says more.
 * @param checkpoint its folder, or a file in it
 * @returns names of the files that were copied
 */
export async function carryCard(checkpoint: string, packageFolder: string): Promise<string[]> {
  const folder = (await stat(checkpoint)).isDirectory() ? checkpoint : dirname(checkpoint);
  const carried: string[] = [];
  for (const file of [CARD_FILE, LICENSE_FILE]) {
    try {
      await copyFile(join(folder, file), join(packageFolder, file), constants.COPYFILE_EXCL);
      carried.push(file);
    } catch (error) {
      if (!["ENOENT", "EEXIST"].includes((error as { code?: string }).code ?? "")) throw error;
    }
  }
  return carried;
}
