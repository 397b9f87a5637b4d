import { assetsSource } from "../../../weights/assets.ts";
import { PackageError } from "../../../weights/errors.ts";
import { r2Source } from "../../../weights/r2.ts";
import { type PackageSource, withErrors } from "../../../weights/source.ts";
import type { Env } from "../env.ts";
import type { CatalogEntry } from "./catalog.ts";

const unavailable = new WeakSet<PackageError>();

/** Where a served package's files are read from. It belongs to one request: its I/O is that request's. */
export function packageSource(env: Env, entry: Pick<CatalogEntry, "id" | "store">): PackageSource {
  const source =
    entry.store === "r2" && env.WEIGHTS !== undefined
      ? r2Source(env.WEIGHTS, entry.id)
      : assetsSource(env.ASSETS, `https://assets.local/weights/${entry.id}`);
  return withErrors(source, (error) => {
    if (error instanceof PackageError) unavailable.add(error);
    return error;
  });
}

/** Whether a file could not be had at all, rather than being damaged. */
export function isUnavailable(error: PackageError): boolean {
  return unavailable.has(error);
}
