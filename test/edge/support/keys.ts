import { sha256 } from "../../../worker/edge/http/keys.ts";
import { hex } from "../../../worker/edge/prefixes/boundary-hashes.ts";

/** What a list of keys holds of a key. */
export async function hashOf(key: string): Promise<string> {
  return hex(await sha256(key));
}

/** API_KEYS that lists these keys, each with the fields beside it. */
export async function namedKeys(...keys: { key: string; [field: string]: unknown }[]): Promise<string> {
  const list = await Promise.all(keys.map(async ({ key, ...fields }) => ({ sha256: await hashOf(key), ...fields })));
  return JSON.stringify(list);
}
