import { PackageError } from "../../../weights/errors.ts";
import { MANIFEST_FILE } from "../../../weights/manifest.ts";
import type { Edge } from "./edge.ts";
import { EdgeError } from "./errors.ts";

/** A deployment's index of packages: worker/edge/models/index-file.ts. */
interface Listed {
  readonly id: string;
  readonly name: string;
}

/**
 * The address of a package's folder. One that ends with a name alone, such as https://host/weights/fable-31m, is that of the package which
 * the index beside it has of the name; any other is taken as it is, and so is one without such an index.
 * @throws PackageError where there is no package, EdgeError where it is kept for who has a key, the signal's reason
 */
export async function packageUrl(address: string, edge: Edge, signal: AbortSignal): Promise<string> {
  const url = new URL(address);
  const name = decodeURIComponent(url.pathname.replace(/\/+$/, "").split("/").at(-1)!);
  // With an id in it, it may be stored, and there may be no network.
  if (name.includes("@")) return address;
  const folder = new URL(url.pathname.endsWith("/") ? ".." : ".", url);
  const listed = await readIndex(new URL("index.json", folder), edge, signal);
  const found = name === "" ? undefined : listed.find((entry) => entry.name === name);
  if (found !== undefined) return new URL(found.id, folder).href;
  await checkManifest(url, edge, signal);
  return address;
}

/** Whoever gives the address of a deployment, or of its API, is told how its packages are addressed. */
async function checkManifest(url: URL, edge: Edge, signal: AbortSignal): Promise<void> {
  const file = `${url.href.replace(/[?#].*$/, "").replace(/\/+$/, "")}/${MANIFEST_FILE}`;
  const response = await get(file, edge, signal);
  await response?.body?.cancel();
  // Without a network, or with a server that fails, the load says more.
  const html = response?.headers.get("content-type")?.startsWith("text/html") === true;
  if (response === undefined || (response.status !== 404 && !html)) return;
  const weights = new URL("/weights/", url);
  const names = (await readIndex(new URL("index.json", weights), edge, signal)).map((entry) => entry.name);
  const which =
    names.length > 0 ? `those here are ${names.join(", ")}` : "/weights/index.json of a deployment lists its packages";
  throw new PackageError(
    `${file}: got status ${response.status}${html ? " with an HTML page" : ""}, there is no package: give a package's folder, such as ${weights.href}${names[0] ?? "NAME"}; ${which}`,
  );
}

async function readIndex(url: URL, edge: Edge, signal: AbortSignal): Promise<readonly Listed[]> {
  const response = await get(url.href, edge, signal);
  try {
    const index: unknown = response?.ok === true ? await response.json() : undefined;
    return Array.isArray(index) ? index.filter(isListed) : [];
  } catch {
    signal.throwIfAborted();
    return [];
  }
}

/** @returns undefined when nobody answers */
async function get(url: string, edge: Edge, signal: AbortSignal): Promise<Response | undefined> {
  try {
    return await edge.fetchFile(url, { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof EdgeError) throw error;
    return undefined;
  }
}

function isListed(entry: Partial<Listed> | null): entry is Listed {
  return typeof entry?.id === "string" && typeof entry.name === "string";
}
