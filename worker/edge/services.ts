import type { Catalog } from "./models/catalog.ts";
import type { ModelPool } from "./models/model-pool.ts";

/** What an isolate keeps between requests. It holds values only: promises and streams belong to the request that made them. */
export interface Services {
  readonly catalog: Catalog;
  readonly pool: ModelPool;
}
