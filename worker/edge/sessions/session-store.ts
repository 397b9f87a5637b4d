import { DurableObject } from "cloudflare:workers";
import { type Env, limitsOf } from "../env.ts";
import { type Mark, type SessionRow, SessionTables, type SnapshotBytes, type SnapshotRow } from "./session-tables.ts";

/** What callers see of a session. */
export interface SessionInfo extends SessionRow {
  /** the latest first. */
  readonly snapshots: readonly SnapshotRow[];
  readonly expires: number;
}

export type NewSession = Pick<SessionRow, "id" | "owner" | "model" | "forkedFrom">;

export interface SessionRead {
  readonly session: SessionInfo;
  /** absent in a session without any, or when the one asked for is not retained. */
  readonly snapshot?: SnapshotBytes;
  /** the stored bytes do not match their sha256. */
  readonly damaged?: boolean;
}

/** A change of the last use is written when it is older than this part of the time to live: reading alone should not write. */
const TOUCH_PART = 30;
const DIGEST_BYTES = 32;

/**
 * One session: whose it is, its model, and its newest snapshots. Named by the session's id.
 *
 * Methods answer undefined for a session that does not exist or is another owner's. They give plain data, because an error's class is
 * lost on the way to the caller.
 *
 * @example
 * const store = env.SESSIONS.getByName(id);
 * await store.put(owner, snapshot, session.revision);
 */
export class SessionStore extends DurableObject<Env> {
  readonly #tables: SessionTables;
  readonly #ttl: number;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#tables = new SessionTables(ctx.storage.sql);
    this.#ttl = limitsOf(env).sessionTtl;
  }

  /** Makes the session, with its first snapshot where there is one, all at once. */
  async create(session: NewSession, snapshot?: SnapshotBytes): Promise<SessionInfo> {
    if (snapshot !== undefined) await checkDigest(snapshot.bytes);
    const now = Date.now();
    this.ctx.storage.transactionSync(() => {
      this.#tables.create({ ...session, created: now, used: now, revision: 0 });
      if (snapshot !== undefined) this.#tables.add(snapshot, now);
    });
    await this.ctx.storage.setAlarm(now + this.#ttl);
    return this.#info(session.owner)!;
  }

  info(owner: string): SessionInfo | undefined {
    return this.#info(owner);
  }

  /** Reads a snapshot, the latest where none is named. It counts as a use. */
  async read(owner: string, id?: string): Promise<SessionRead | undefined> {
    const session = this.#info(owner);
    if (session === undefined) return undefined;
    const now = Date.now();
    if (now - session.used > this.#ttl / TOUCH_PART) this.#tables.touch(now);
    const wanted = id ?? session.snapshots[0]?.id;
    const stored = wanted === undefined ? undefined : this.#tables.read(wanted);
    if (stored === undefined) return { session };
    if (!(await matches(stored.snapshot.bytes, stored.sha256))) return { session, damaged: true };
    return { session, snapshot: stored.snapshot };
  }

  /**
   * Makes a snapshot the session's latest, all of it or nothing.
   * @param revision that the writer began from: when the session has moved on since, nothing is stored
   */
  async put(
    owner: string,
    snapshot: SnapshotBytes,
    revision?: number,
  ): Promise<{ stored: boolean; session: SessionInfo } | undefined> {
    await checkDigest(snapshot.bytes);
    const stored = this.ctx.storage.transactionSync(() => {
      const session = this.#info(owner);
      if (session === undefined || (revision !== undefined && session.revision !== revision)) return false;
      this.#tables.add(snapshot, Date.now());
      return true;
    });
    const session = this.#info(owner);
    return session && { stored, session };
  }

  /** Keeps where an append that has not ended yet has come to, until the session moves on. */
  async mark(owner: string, mark: Mark): Promise<void> {
    await checkDigest(mark.snapshot.bytes);
    this.ctx.storage.transactionSync(() => {
      if (this.#info(owner) !== undefined) this.#tables.setMark(mark);
    });
  }

  /** The mark that is kept, where it is one of these. Who reads it checks its sha256. */
  readMark(owner: string, hashes: readonly string[]): Mark | undefined {
    return this.#info(owner) && this.#tables.mark(hashes);
  }

  /** Deletes everything. */
  async remove(owner: string): Promise<boolean> {
    const session = this.#info(owner);
    if (session === undefined) return false;
    await this.#clear(session);
    return true;
  }

  override async alarm(): Promise<void> {
    const session = this.#tables.session();
    const expires = session === undefined ? 0 : session.used + this.#ttl;
    // The alarm is set once; uses since then have moved the end.
    if (expires > Date.now()) await this.ctx.storage.setAlarm(expires);
    else await this.#clear(session);
  }

  #info(owner: string): SessionInfo | undefined {
    const session = this.#tables.session();
    if (session === undefined || session.owner !== owner) return undefined;
    return { ...session, snapshots: this.#tables.snapshots(), expires: session.used + this.#ttl };
  }

  async #clear(session: SessionRow | undefined): Promise<void> {
    if (session !== undefined) await this.env.SESSION_INDEXES.getByName(session.owner).remove(session.id);
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
  }
}

/** Bytes that were cut or changed on their way here are not stored. */
async function checkDigest(bytes: Uint8Array): Promise<void> {
  if (!(await matches(bytes, bytes.subarray(-DIGEST_BYTES))))
    throw new Error("the snapshot's sha256 does not match its bytes");
}

/** A snapshot ends with the sha256 of all before it. */
async function matches(bytes: Uint8Array, sha256: Uint8Array): Promise<boolean> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.slice(0, -DIGEST_BYTES)));
  const stored = bytes.subarray(-DIGEST_BYTES);
  return digest.length === sha256.length && digest.every((b, i) => b === sha256[i] && b === stored[i]);
}
