/** A package served over HTTP, fetched with the platform's fetch. */
import { PackageError } from "./errors.ts";
import type { PackageSource } from "./source.ts";

/** What of a fetch function or a Fetcher binding is used. */
export type Fetch = (url: string, init: { signal?: AbortSignal }) => Promise<Response>;

/**
 * @param base URL of the package's folder, with or without a closing slash
 * @example httpSource("https://host/weights/mamba-tiny@0123456789ab")
 */
export function httpSource(base: string, fetch: Fetch = (url, init) => globalThis.fetch(url, init)): PackageSource {
  return {
    description: base,
    open: (file, signal) => fetchFile(fetch, base, file, signal),
  };
}

/**
 * The body of `${base}/${file}`.
 * @throws PackageError when the server has no such file or cannot be reached
 */
export async function fetchFile(
  fetch: Fetch,
  base: string,
  file: string,
  signal?: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const url = `${base.replace(/\/+$/, "")}/${file}`;
  let response: Response;
  try {
    response = await fetch(url, signal === undefined ? {} : { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new PackageError(`${url}: cannot be fetched (${(cause as Error).message}); check the address and try again`, {
      cause,
    });
  }
  // A single-page site answers what it does not have with its start page and status 200.
  const html = response.headers.get("content-type")?.startsWith("text/html") ?? false;
  if (!response.ok || html || response.body === null) {
    await response.body?.cancel();
    const seen = html ? "an HTML page" : response.body === null ? "no body" : "";
    throw new PackageError(
      `${url}: got status ${response.status}${seen && ` with ${seen}`}; check that the package's files are deployed there`,
    );
  }
  return response.body as ReadableStream<Uint8Array>;
}
