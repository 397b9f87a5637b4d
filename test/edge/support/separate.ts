import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { createApp } from "../../../worker/edge/app.ts";
import type { Env } from "../../../worker/edge/env.ts";
import { backend } from "../../../worker/edge/models/backend.ts";
import { createCatalog } from "../../../worker/edge/models/catalog.ts";
import { createModelPool } from "../../../worker/edge/models/model-pool.ts";
import type { Services } from "../../../worker/edge/services.ts";
import { ORIGIN } from "./client.ts";

/** An app with a catalog and a pool of its own: another isolate, as it were. */
export function separate(bindings: Partial<Env>) {
  const services: Services = { catalog: createCatalog(), pool: createModelPool(backend) };
  const variables: Env = { ...env, ...bindings };
  const app = createApp(services);
  const send = async (path: string, init: RequestInit = {}): Promise<Response> =>
    app.fetch(new Request(new URL(path, ORIGIN), init), variables, createExecutionContext());
  const post = (body: unknown): Promise<Response> =>
    send("/v1/completions", { method: "POST", body: JSON.stringify(body) });
  const get = (path: string): Promise<Response> => send(path);
  return { services, send, post, get };
}

/** Assets of which a test answers some itself. */
export function intercept(
  answer: (file: string, fetch: () => Promise<Response>) => Response | Promise<Response>,
): Fetcher {
  const fetch = (url: string, init?: RequestInit): Promise<Response> =>
    Promise.resolve(answer(url.split("/").at(-1)!, () => env.ASSETS.fetch(url, init)));
  return { fetch } as unknown as Fetcher;
}
