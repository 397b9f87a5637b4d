import { backend } from "./models/backend.ts";
import { createCatalog } from "./models/catalog.ts";
import { createModelPool } from "./models/model-pool.ts";
import type { Services } from "./services.ts";

/** The services of this isolate. A file of its own, because every export of the Worker's main module is taken for an entry point. */
export const isolate: Services = { catalog: createCatalog(), pool: createModelPool(backend) };
