import type { Sequence } from "../../engine/sequence.ts";
import { takeSnapshot } from "../../engine/snapshot.ts";
import type { Env } from "../env.ts";
import type { Stored } from "../generation/respond.ts";
import type { RequestRecord } from "../ops/request-record.ts";
import { layerLengths } from "./layer-lengths.ts";
import type { SessionInfo } from "./session-store.ts";
import { createSession, noSession, packSnapshot, sessionStore } from "./sessions.ts";

/**
 * Stores where an append has come to. When the session is no longer where this began, the result becomes a session of its own: both
 * are kept.
 * @param session as it was when the append began
 * @param base the id of the snapshot that it went on from
 * @throws ApiError 404 when it was deleted meanwhile
 */
export async function storeAppend(
  env: Env,
  session: SessionInfo,
  base: string | undefined,
  sequence: Sequence,
  record: RequestRecord,
): Promise<Stored> {
  const { id, owner, model } = session;
  const packed = await packSnapshot(await takeSnapshot(sequence), layerLengths(sequence.model, sequence.consumed));
  record.snapshotBytes += packed.bytes.byteLength;
  if (base === session.snapshots[0]?.id) {
    const written = await sessionStore(env, id).put(owner, packed, session.revision);
    if (written === undefined) throw noSession(id);
    if (written.stored) return { session: id, snapshot: packed.id };
  }
  const fork = await createSession(env, { owner, model, forkedFrom: id }, packed);
  return { session: fork.id, snapshot: packed.id, forked_from: id };
}
