import type { Env } from "../env.ts";
import { ApiError } from "../http/api-error.ts";
import { show } from "../http/show.ts";
import { INDEX_FILE, type IndexEntry, IndexFile, named } from "./index-file.ts";
import { oneOf, requireUse, serves, type Use } from "./use.ts";

export interface CatalogEntry extends IndexEntry {
  readonly store: "assets" | "r2";
}

/** The models that are served. */
export interface Catalog {
  list(env: Env): Promise<readonly CatalogEntry[]>;
  /**
   * @param model a name, an id (name@hash), or nothing for the default
   * @param use what is asked of it; any model where nothing is
   * @param param the field that named the model, or its session. Default model
   * @throws ApiError 400 when it is for something else, 404, 503 when nothing is served
   */
  find(env: Env, model: string | undefined, use?: Use, param?: string): Promise<CatalogEntry>;
}

/** How long a bucket's index is believed. Assets change only with the deployment, and with it the isolate. */
const BUCKET_TTL = 60_000;

/**
 * Reads the indexes of the built-in packages and of the bucket, where there is one, and remembers them for the isolate. It keeps values
 * only: a promise would belong to the request that made it.
 *
 * @example
 * const catalog = createCatalog();
 * const { id } = await catalog.find(env, "mamba-tiny");
 */
export function createCatalog(): Catalog {
  let assets: readonly CatalogEntry[] | undefined;
  let bucket: readonly CatalogEntry[] = [];
  let bucketRead = Number.NEGATIVE_INFINITY;

  async function list(env: Env, ttl = BUCKET_TTL): Promise<readonly CatalogEntry[]> {
    assets ??= await readAssets(env.ASSETS);
    if (env.WEIGHTS !== undefined && Date.now() - bucketRead >= ttl) {
      bucket = await readBucket(env.WEIGHTS);
      bucketRead = Date.now();
    }
    return [...assets, ...bucket];
  }

  async function find(env: Env, model: string | undefined, use?: Use, param = "model"): Promise<CatalogEntry> {
    let entries = await list(env);
    const wanted = model ?? defaultOf(entries, use ?? "text", env.DEFAULT_MODEL);
    const isSet = model === undefined && wanted === env.DEFAULT_MODEL;
    if (wanted === undefined) throw noModel(use ?? "text");
    let found = named(entries, wanted);
    if (found === undefined && env.WEIGHTS !== undefined) {
      // It may have been uploaded a moment ago.
      entries = await list(env, 0);
      found = named(entries, wanted);
    }
    if (found !== undefined) {
      if (use !== undefined) requireUse(found, use, entries, param);
      return found;
    }
    if (entries.length === 0 && isSet) throw noModel("text");
    const able = entries.filter((entry) => use === undefined || serves(entry, use)).map(({ id }) => id);
    const others = able.length > 0 ? `use ${oneOf(able)}` : `no ${entries.length > 0 ? "such " : ""}models are`;
    throw new ApiError({
      code: "model_not_found",
      param: "model",
      message: isSet
        ? `the request names no model, and DEFAULT_MODEL is ${show(wanted)}, which is not served here: ${able.length > 0 ? `send model, or set DEFAULT_MODEL (under [vars] of wrangler.toml) to ${oneOf(able)}` : others}`
        : `model ${show(wanted)} is not served here: ${others}`,
    });
  }

  return { list: (env) => list(env), find };
}

/** The name or id of what a request gets that names no model. */
function defaultOf(entries: readonly CatalogEntry[], use: Use, set: string | undefined): string | undefined {
  const ofText = use === "text" || use === "session";
  const preferred = set ? named(entries, set) : undefined;
  // A default that cannot be served is said, rather than that another takes its place.
  if (set && ofText) return set;
  if (preferred !== undefined && serves(preferred, use)) return preferred.id;
  const first = entries.find((entry) => serves(entry, ofText ? "text" : use));
  return (first ?? (ofText ? entries[0] : undefined))?.id;
}

function noModel(use: Use): ApiError {
  if (use === "text" || use === "session") {
    return new ApiError({
      code: "no_models",
      message: "this deployment has no models: put packages into weights/models or the bucket and build again",
    });
  }
  const what = use === "images" ? "image" : "in-context";
  const message = `no ${what} model is served here: put a package of one into weights/models or the bucket, and build again`;
  return new ApiError({ code: "model_not_found", param: "model", message });
}

async function readAssets(assets: Fetcher): Promise<readonly CatalogEntry[]> {
  const response = await assets.fetch(`https://assets.local/weights/${INDEX_FILE}`);
  if (!response.ok) {
    await response.body?.cancel();
    return [];
  }
  return IndexFile.parse(await response.json()).map((entry) => ({ ...entry, store: "assets" }));
}

async function readBucket(bucket: R2Bucket): Promise<readonly CatalogEntry[]> {
  const object = await bucket.get(INDEX_FILE);
  return object === null ? [] : IndexFile.parse(await object.json()).map((entry) => ({ ...entry, store: "r2" }));
}
