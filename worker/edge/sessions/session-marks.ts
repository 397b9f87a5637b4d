import { decodeSnapshot } from "../../engine/snapshot.ts";
import type { Env } from "../env.ts";
import type { Marks } from "../generation/marked-append.ts";
import type { RequestRecord } from "../ops/request-record.ts";
import { logged } from "../prefixes/prefixes.ts";
import { layerLengths } from "./layer-lengths.ts";
import type { Mark } from "./session-tables.ts";
import { packSnapshot, sessionStore } from "./sessions.ts";

/**
 * The marks of appends to a session. They are no snapshots of it: it keeps the last one until it moves on, or is deleted.
 * @param base the id of the snapshot that the append goes on from
 */
export function sessionMarks(
  env: Env,
  owner: string,
  id: string,
  base: string | undefined,
  record: RequestRecord,
): Marks {
  const name = (hash: string): string => `${base ?? ""}:${hash}`;

  async function find(hashes: readonly string[]): ReturnType<Marks["find"]> {
    const mark = (await sessionStore(env, id).readMark(owner, hashes.map(name))) as Mark | undefined;
    if (mark === undefined) return undefined;
    const hash = hashes.find((h) => name(h) === mark.hash)!;
    return { hash, snapshot: await decodeSnapshot(mark.snapshot.bytes) };
  }

  return {
    find: (hashes) => find(hashes).catch(logged("find mark")),
    async put(hash, sequence, snapshot) {
      const store = async (): Promise<void> => {
        const packed = await packSnapshot(snapshot, layerLengths(sequence.model, sequence.consumed));
        await sessionStore(env, id).mark(owner, { hash: name(hash), snapshot: packed });
        record.snapshotBytes += packed.bytes.byteLength;
      };
      await record.time("store", store).catch(logged("put mark"));
    },
  };
}
