/** A deployment's index of packages: worker/edge/models/index-file.ts. */
interface Listed {
  readonly id: string;
  readonly name: string;
}

/**
 * The address of a package's folder. One that ends with a name alone, such as https://host/weights/fable-31m, is that of the package which
 * the index beside it has of the name; any other is taken as it is, and so is one without such an index.
 * @throws the signal's reason
 */
export async function packageUrl(address: string, signal: AbortSignal): Promise<string> {
  const url = new URL(address);
  const name = decodeURIComponent(url.pathname.replace(/\/+$/, "").split("/").at(-1)!);
  if (name === "" || name.includes("@")) return address;
  const folder = new URL(url.pathname.endsWith("/") ? ".." : ".", url);
  const found = (await readIndex(new URL("index.json", folder), signal)).find((entry) => entry.name === name);
  return found === undefined ? address : new URL(found.id, folder).href;
}

async function readIndex(url: URL, signal: AbortSignal): Promise<readonly Listed[]> {
  try {
    const response = await fetch(url, { signal });
    const index: unknown = response.ok ? await response.json() : undefined;
    return Array.isArray(index) ? index.filter(isListed) : [];
  } catch {
    signal.throwIfAborted();
    return [];
  }
}

function isListed(entry: Partial<Listed> | null): entry is Listed {
  return typeof entry?.id === "string" && typeof entry.name === "string";
}
