import type { Sequence } from "../../engine/sequence.ts";
import { takeSnapshot } from "../../engine/snapshot.ts";
import type { Env } from "../env.ts";
import type { Stored } from "../generation/respond.ts";
import type { RequestRecord } from "../ops/request-record.ts";
import { layerLengths } from "./layer-lengths.ts";
import type { SessionInfo } from "./session-store.ts";
import { newSessionId, noSession, packSnapshot, sessionStore } from "./sessions.ts";

/**
 * Stores where an append has come to. When another one has changed the session since this began, the result becomes a session of its
 * own: both are kept.
 * @param session as it was when the append began
 * @throws ApiError 404 when it was deleted meanwhile
 */
export async function storeAppend(
  env: Env,
  session: SessionInfo,
  sequence: Sequence,
  record: RequestRecord,
): Promise<Stored> {
  const { id, owner, model } = session;
  const packed = await packSnapshot(await takeSnapshot(sequence), layerLengths(sequence.model, sequence.consumed));
  const written = await sessionStore(env, id).put(owner, packed, session.revision);
  if (written === undefined) throw noSession(id);
  record.snapshotBytes += packed.bytes.byteLength;
  if (written.stored) return { session: id, snapshot: packed.id };
  const fork = newSessionId();
  await sessionStore(env, fork).create({ id: fork, owner, model, forkedFrom: id }, packed);
  return { session: fork, snapshot: packed.id, forked_from: id };
}
