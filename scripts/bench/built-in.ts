import { folderSource } from "../../weights/node/folder.ts";
import type { PackageSource } from "../../weights/source.ts";

/** The model that the project ships. */
export const BUILT_IN = "weights/models/fable-31m";
/** Its checkpoint of record. */
export const BUILT_IN_MASTER = "weights/masters/fable-31m";

export function builtInSource(): PackageSource {
  return folderSource(BUILT_IN);
}
