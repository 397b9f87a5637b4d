import type { Env } from "../env.ts";
import type { PrefixPlace } from "./prefix-ledger.ts";

/** In front of a conversation's name, where a place is its responses. Names of PrefixStores are hexadecimal. */
const RESPONSES = "responses/";

/** All that a conversation's responses keep: in the ledger it counts, and goes, as one. */
export function responsesPlace(conversation: string): PrefixPlace {
  return { root: `${RESPONSES}${conversation}`, hash: "" };
}

/** Deletes what the ledger no longer counts. */
export async function evict(env: Env, places: readonly PrefixPlace[]): Promise<void> {
  const roots = new Map<string, string[]>();
  for (const { root, hash } of places) roots.set(root, [...(roots.get(root) ?? []), hash]);
  const removed = [...roots].map(([root, hashes]) =>
    root.startsWith(RESPONSES)
      ? env.RESPONSES.getByName(root.slice(RESPONSES.length)).clear()
      : env.PREFIXES.getByName(root).remove(hashes),
  );
  await Promise.all(removed);
}
