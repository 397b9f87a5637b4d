import type { Snapshot } from "../../engine/snapshot.ts";
import { encodeSnapshot, snapshotId } from "../../engine/snapshot.ts";
import type { Env } from "../env.ts";
import { ApiError } from "../http/api-error.ts";
import { show } from "../http/show.ts";
import type { Session } from "../schemas/session.ts";
import type { NewSession, SessionInfo, SessionRead, SessionStore } from "./session-store.ts";
import type { SnapshotBytes } from "./session-tables.ts";

export const SESSION_ID = /^sess_[0-9a-f]{32}$/;

/** Ids sort by the time of their making: 48 bits of milliseconds, 80 of chance. */
export function newSessionId(): string {
  const time = Date.now().toString(16).padStart(12, "0");
  return `sess_${time}${crypto.randomUUID().replaceAll("-", "").slice(12)}`;
}

/** Makes a session, with its first snapshot where there is one, and puts it on its owner's list. */
export async function createSession(
  env: Env,
  session: Omit<NewSession, "id">,
  snapshot?: SnapshotBytes,
): Promise<SessionInfo> {
  const id = newSessionId();
  const made = (await sessionStore(env, id).create({ ...session, id }, snapshot)) as SessionInfo;
  await env.SESSION_INDEXES.getByName(session.owner).add(id);
  return made;
}

/** The object of a session. @throws ApiError 404 on what cannot be an id: no object is made for it */
export function sessionStore(env: Env, id: string): DurableObjectStub<SessionStore> {
  if (!SESSION_ID.test(id)) throw noSession(id);
  return env.SESSIONS.getByName(id);
}

export function noSession(id: string): ApiError {
  return new ApiError({
    code: "session_not_found",
    param: "session",
    message: `session ${show(id)} does not exist, was deleted, has expired, or is another key's: POST /v1/sessions makes one`,
  });
}

/** The session and its bytes. @throws ApiError 404 when there is none, or none of that snapshot; 500 when what is stored is damaged */
export async function readSession(env: Env, owner: string, id: string, snapshot?: string): Promise<SessionRead> {
  const read = (await sessionStore(env, id).read(owner, snapshot)) as SessionRead | undefined;
  if (read === undefined) throw noSession(id);
  if (read.damaged === true) {
    throw new ApiError({
      code: "state_damaged",
      message: `the stored state of session ${id} is damaged: fork it from an earlier one of its snapshots`,
    });
  }
  if (snapshot !== undefined && read.snapshot === undefined) {
    const retained = read.session.snapshots.map((s) => s.id).join(", ") || "none";
    throw new ApiError({
      code: "snapshot_not_found",
      param: "snapshot",
      message: `session ${id} does not hold snapshot ${show(snapshot)}: it retains ${retained}`,
    });
  }
  return read;
}

/** Encodes a snapshot as a session stores it. */
export async function packSnapshot(snapshot: Snapshot, layers: readonly number[]): Promise<SnapshotBytes> {
  return cutSnapshot(await encodeSnapshot(snapshot), snapshot, layers);
}

/**
 * Says where the bytes of a snapshot may be cut: a row for the header, one for each layer, one for the digest.
 * @param layers f32s of each layer's state, in canonical order
 */
export function cutSnapshot(
  bytes: Uint8Array,
  snapshot: Pick<Snapshot, "consumed" | "pending" | "state">,
  layers: readonly number[],
): SnapshotBytes {
  let end = bytes.byteLength - 32 - snapshot.state.byteLength;
  const cuts = [end, ...layers.map((length) => (end += 4 * length))];
  return { id: snapshotId(bytes), tokens: snapshot.consumed + snapshot.pending.length, bytes, cuts };
}

/** What the API says of a session. */
export function sessionReply(session: SessionInfo): Session {
  const snapshots = session.snapshots.map((s) => ({ id: s.id, tokens: s.tokens, created: seconds(s.created) }));
  return {
    id: session.id,
    object: "session",
    model: session.model,
    tokens: snapshots[0]?.tokens ?? 0,
    snapshot: snapshots[0]?.id ?? null,
    snapshots,
    forked_from: session.forkedFrom,
    created: seconds(session.created),
    expires: seconds(session.expires),
  };
}

function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}
