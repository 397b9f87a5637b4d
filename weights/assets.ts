/** A package among a Worker's static assets. */
import { fetchFile } from "./http.ts";
import type { PackageSource } from "./source.ts";

/** What of the ASSETS binding (or another Fetcher) is used. */
export interface AssetsBinding {
  fetch(url: string, init: { signal?: AbortSignal }): Promise<Response>;
}

/**
 * @param base absolute URL of the package's folder; the binding looks at its path only
 * @example assetsSource(env.ASSETS, "https://assets.local/weights/mamba-tiny")
 */
export function assetsSource(assets: AssetsBinding, base: string): PackageSource {
  return {
    description: `assets ${new URL(base).pathname}`,
    open: (file, signal) => fetchFile((url, init) => assets.fetch(url, init), base, file, signal),
  };
}
