import { inputOf } from "../../engine/architectures/index.ts";
import type { Env } from "../env.ts";
import { ApiError } from "../http/api-error.ts";
import { show } from "../http/show.ts";
import { INDEX_FILE, type IndexEntry, IndexFile, named } from "./index-file.ts";

export interface CatalogEntry extends IndexEntry {
  readonly store: "assets" | "r2";
}

/** The models that are served. */
export interface Catalog {
  list(env: Env): Promise<readonly CatalogEntry[]>;
  /**
   * @param model a name, an id (name@hash), or nothing for the default
   * @param input what the default shall be fed
   * @throws ApiError 404, 503 when nothing is served
   */
  find(env: Env, model: string | undefined, input?: ModelInput): Promise<CatalogEntry>;
}

export type ModelInput = ReturnType<typeof inputOf>;

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

  async function find(env: Env, model: string | undefined, input: ModelInput = "tokens"): Promise<CatalogEntry> {
    let entries = await list(env);
    const wanted = model ?? defaultOf(entries, input, env.DEFAULT_MODEL);
    const isSet = model === undefined && wanted === env.DEFAULT_MODEL;
    if (wanted === undefined) throw noModel(input);
    let found = named(entries, wanted);
    if (found === undefined && env.WEIGHTS !== undefined) {
      // It may have been uploaded a moment ago.
      entries = await list(env, 0);
      found = named(entries, wanted);
    }
    if (found !== undefined) return found;
    if (entries.length === 0 && isSet) throw noModel("tokens");
    const served = entries.map((e) => e.id).join(", ");
    throw new ApiError({
      code: "model_not_found",
      param: "model",
      message: isSet
        ? `the request names no model, and DEFAULT_MODEL is ${show(wanted)}, which is not served here: send model, or set DEFAULT_MODEL (under [vars] of wrangler.toml) to one of ${served}`
        : `model ${show(wanted)} is not served here: ${served === "" ? "no models are" : `use one of ${served}`}`,
    });
  }

  return { list: (env) => list(env), find };
}

/** The name or id of what a request gets that names no model. */
function defaultOf(entries: readonly CatalogEntry[], input: ModelInput, set: string | undefined): string | undefined {
  const fits = ({ architecture, tokenizer, interleave }: CatalogEntry): boolean =>
    inputOf(architecture) === input && (input !== "tokens" || tokenizer !== false) && interleave !== false;
  const preferred = set ? named(entries, set) : undefined;
  // A default that cannot be served is said, rather than that another takes its place.
  if (set && input === "tokens") return set;
  if (preferred !== undefined && fits(preferred)) return preferred.id;
  return (entries.find(fits) ?? (input === "tokens" ? entries[0] : undefined))?.id;
}

function noModel(input: ModelInput): ApiError {
  if (input === "tokens") {
    return new ApiError({
      code: "no_models",
      message: "this deployment has no models: put packages into weights/models or the bucket and build again",
    });
  }
  const what = input === "images" ? "image" : "in-context";
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
