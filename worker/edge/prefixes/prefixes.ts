import type { Model } from "../../engine/model.ts";
import { decodeSnapshot, encodeSnapshot, type Snapshot } from "../../engine/snapshot.ts";
import { type Env, limitsOf } from "../env.ts";
import type { RequestRecord } from "../ops/request-record.ts";
import { type Boundary, hex, tokenBytes } from "./boundary-hashes.ts";
import { evict } from "./evict.ts";
import type { PrefixPlace } from "./prefix-ledger.ts";
import type { NewPrefixEntry, PrefixEntry } from "./prefix-store.ts";

/** A state at a boundary of a conversation. */
export interface KeptState {
  readonly boundary: Boundary;
  readonly snapshot: Snapshot;
}

/** The kept states of one conversation. Failing to keep or to find is logged, and never a request's failure. */
export interface Prefixes {
  /** The longest state that is kept of these boundaries. */
  find(boundaries: readonly Boundary[]): Promise<KeptState | undefined>;
  /** The longest state that a text begins with. */
  findIn(tokens: readonly number[]): Promise<KeptState | undefined>;
  /** @param ttl milliseconds that they outlive their last use; default PREFIX_TTL_HOURS */
  put(states: readonly KeptState[], ttl?: number): Promise<void>;
  place(boundary: Boundary): PrefixPlace;
}

/**
 * The states kept of the conversations that begin as this one does, of this owner and model.
 * @param first the conversation's first boundary
 * @param record counts the time and the bytes of what is kept
 * @returns undefined where PREFIX_STORE is off
 * @example
 * const prefixes = await openPrefixes(env, owner, model, boundaries[0]);
 */
export async function openPrefixes(
  env: Env,
  owner: string,
  model: Model,
  first: Boundary,
  record?: RequestRecord,
): Promise<Prefixes | undefined> {
  const { prefixStore, prefixTtl } = limitsOf(env);
  if (!prefixStore) return undefined;
  const { id, family } = model.manifest;
  const root = await rootName(owner, id, first);
  let hit: string | undefined;

  async function find(boundaries: readonly Boundary[]): Promise<KeptState | undefined> {
    const entry = (await env.PREFIXES.getByName(root).find(boundaries.map((b) => b.hash))) as PrefixEntry | undefined;
    return entry && restored(entry);
  }

  async function findIn(tokens: readonly number[]): Promise<KeptState | undefined> {
    const entry = (await env.PREFIXES.getByName(root).findIn(tokenBytes(tokens))) as PrefixEntry | undefined;
    return entry && restored(entry);
  }

  async function restored(entry: PrefixEntry): Promise<KeptState> {
    const boundary = { tokens: entry.tokens, hash: entry.hash };
    const snapshot = await decodeSnapshot(entry.bytes);
    if (snapshot.model !== id || snapshot.family !== family || snapshot.consumed !== boundary.tokens) {
      throw new Error(`the state kept at ${boundary.tokens} tokens is of ${snapshot.model} at ${snapshot.consumed}`);
    }
    hit = entry.hash;
    return { boundary, snapshot };
  }

  async function put(states: readonly KeptState[], ttl = prefixTtl): Promise<void> {
    const entries: NewPrefixEntry[] = [];
    for (const { boundary, snapshot } of states) {
      entries.push({ hash: boundary.hash, tokens: boundary.tokens, bytes: await encodeSnapshot(snapshot), ttl });
    }
    const evicted = await env.PREFIX_LEDGERS.getByName(owner).record({
      root,
      used: hit === undefined ? [] : [hit],
      added: entries.map(({ hash, bytes }) => ({ hash, bytes: bytes.byteLength, ttl })),
    });
    const gone = new Set(evicted.filter((place) => place.root === root).map((place) => place.hash));
    const kept = entries.filter(({ hash }) => !gone.has(hash));
    await evict(env, evicted);
    if (kept.length > 0) await env.PREFIXES.getByName(root).put(kept);
    if (record !== undefined) record.snapshotBytes += kept.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  }

  return {
    find: (boundaries) => find(boundaries).catch(logged("find")) as Promise<KeptState | undefined>,
    findIn: (tokens) => findIn(tokens).catch(logged("find")) as Promise<KeptState | undefined>,
    put: async (states, ttl) => {
      const begin = performance.now();
      await put(states, ttl).catch(logged("put"));
      record?.spend("store", performance.now() - begin);
    },
    place: ({ hash }) => ({ root, hash }),
  };
}

/** Nobody can name another's conversation: the key of the HMAC is the owner. */
async function rootName(owner: string, model: string, first: Boundary): Promise<string> {
  const encoder = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(owner), algorithm, false, ["sign"]);
  return hex(new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(`${model}\n${first.hash}`))));
}

/** Says in the log what could not be kept or found. */
export function logged(what: string): (error: unknown) => undefined {
  return (error) => {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    console.error(JSON.stringify({ level: "warning", kind: "prefix_store", what, detail }));
  };
}
