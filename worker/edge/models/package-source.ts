import { assetsSource } from "../../../weights/assets.ts";
import { PackageError } from "../../../weights/errors.ts";
import { r2Source } from "../../../weights/r2.ts";
import type { PackageSource } from "../../../weights/source.ts";
import type { Env } from "../env.ts";
import type { CatalogEntry } from "./catalog.ts";

const unavailable = new WeakSet<PackageError>();

/** Where a served package's files are read from. It belongs to one request: its I/O is that request's. */
export function packageSource(env: Env, entry: Pick<CatalogEntry, "id" | "store">): PackageSource {
  const source =
    entry.store === "r2" && env.WEIGHTS !== undefined
      ? r2Source(env.WEIGHTS, entry.id)
      : assetsSource(env.ASSETS, `https://assets.local/weights/${entry.id}`);
  return {
    description: source.description,
    async open(file, signal) {
      try {
        return await source.open(file, signal);
      } catch (error) {
        if (error instanceof PackageError) unavailable.add(error);
        throw error;
      }
    },
  };
}

/** Whether a file could not be had at all, rather than being damaged. */
export function isUnavailable(error: PackageError): boolean {
  return unavailable.has(error);
}
