/** Snapshots kept of a session: the latest, and those before it that a fork may still name. */
export const RETAINED_SNAPSHOTS = 4;

/** Most bytes of a BLOB. A row of a Durable Object holds 2 MB. */
const PIECE_BYTES = 1024 * 1024;
/** Snapshots' revisions begin at 1. */
const MARK_REVISION = 0;
const DIGEST_BYTES = 32;

/** What is stored of a snapshot besides its bytes. */
export interface SnapshotRow {
  readonly id: string;
  readonly tokens: number;
  /** milliseconds. */
  readonly created: number;
}

/** A session without its snapshots. */
export interface SessionRow {
  readonly id: string;
  readonly owner: string;
  readonly model: string;
  readonly forkedFrom: string | null;
  /** milliseconds, as all times here. */
  readonly created: number;
  readonly used: number;
  /** counts the changes: a writer that saw another number is late. */
  readonly revision: number;
}

/** A snapshot's bytes, and where they may be cut into rows: the ends of the header, of each layer's state, and of all. */
export interface SnapshotBytes {
  readonly id: string;
  readonly tokens: number;
  readonly bytes: Uint8Array;
  readonly cuts: readonly number[];
}

/** Where an append that has not ended yet has come to. */
export interface Mark {
  /** of what it began from and all that was fed since. */
  readonly hash: string;
  readonly snapshot: SnapshotBytes;
}

/**
 * The tables of one session. All of it is synchronous, so that callers can make a change whole with transactionSync.
 * An object that holds no session has no tables: asking for an id that nobody made stores nothing.
 */
export class SessionTables {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  create(row: SessionRow): void {
    this.#sql.exec(`
      CREATE TABLE session (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, model TEXT NOT NULL, forked_from TEXT,
        created INTEGER NOT NULL, used INTEGER NOT NULL, revision INTEGER NOT NULL
      );
      CREATE TABLE snapshots (
        revision INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, tokens INTEGER NOT NULL, created INTEGER NOT NULL,
        bytes INTEGER NOT NULL, sha256 BLOB NOT NULL
      );
      CREATE TABLE pieces (
        revision INTEGER NOT NULL, piece INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (revision, piece)
      );
    `);
    const { id, owner, model, forkedFrom, created, used, revision } = row;
    this.#sql.exec(
      "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?)",
      id,
      owner,
      model,
      forkedFrom,
      created,
      used,
      revision,
    );
  }

  session(): SessionRow | undefined {
    const tables = this.#sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'session'");
    if (tables.toArray().length === 0) return undefined;
    const query = 'SELECT id, owner, model, forked_from AS "forkedFrom", created, used, revision FROM session';
    return this.#sql.exec(query).toArray()[0] as SessionRow | undefined;
  }

  touch(used: number): void {
    this.#sql.exec("UPDATE session SET used = ?", used);
  }

  /** The latest first. */
  snapshots(): SnapshotRow[] {
    const query = "SELECT id, tokens, created FROM snapshots ORDER BY revision DESC";
    return this.#sql.exec(query).toArray() as unknown as SnapshotRow[];
  }

  /** Makes a snapshot the latest, and drops the oldest beyond those retained. */
  add({ id, tokens, bytes, cuts }: SnapshotBytes, now: number): void {
    this.#remove("id = ?", id);
    this.#sql.exec("UPDATE session SET used = ?, revision = revision + 1", now);
    const { revision } = this.#sql.exec<{ revision: number }>("SELECT revision FROM session").one();
    this.#sql.exec(
      "INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?)",
      revision,
      id,
      tokens,
      now,
      bytes.byteLength,
      bytes.subarray(-DIGEST_BYTES),
    );
    this.#addPieces(revision, bytes, cuts);
    this.#removeMark();
    this.#remove(`revision NOT IN (SELECT revision FROM snapshots ORDER BY revision DESC LIMIT ${RETAINED_SNAPSHOTS})`);
  }

  /** One snapshot as it was added, and the sha256 that it was stored with. Its bytes are not checked here. */
  read(id: string): { snapshot: SnapshotBytes; sha256: Uint8Array } | undefined {
    const query = "SELECT revision, id, tokens, bytes, sha256 FROM snapshots WHERE id = ?";
    const row = this.#sql.exec<Row>(query, id).toArray()[0];
    return row && this.#join(row);
  }

  /** Keeps a mark in place of the one before. */
  setMark({ hash, snapshot: { id, tokens, bytes, cuts } }: Mark): void {
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS mark (
        hash TEXT NOT NULL, id TEXT NOT NULL, tokens INTEGER NOT NULL, bytes INTEGER NOT NULL, sha256 BLOB NOT NULL
      );
    `);
    this.#removeMark();
    const values = [hash, id, tokens, bytes.byteLength, bytes.subarray(-DIGEST_BYTES)];
    this.#sql.exec("INSERT INTO mark VALUES (?, ?, ?, ?, ?)", ...values);
    this.#addPieces(MARK_REVISION, bytes, cuts);
  }

  /** The mark, where it is one of these. Its bytes are not checked here. */
  mark(hashes: readonly string[]): Mark | undefined {
    if (!this.#hasMarks()) return undefined;
    const query = `SELECT ${MARK_REVISION} AS revision, hash, id, tokens, bytes, sha256 FROM mark`;
    const row = this.#sql.exec<Row & { hash: string }>(query).toArray()[0];
    if (row === undefined || !hashes.includes(row.hash)) return undefined;
    return { hash: row.hash, snapshot: this.#join(row).snapshot };
  }

  #hasMarks(): boolean {
    return this.#sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'mark'").toArray().length > 0;
  }

  #removeMark(): void {
    if (!this.#hasMarks()) return;
    this.#sql.exec("DELETE FROM mark");
    this.#sql.exec("DELETE FROM pieces WHERE revision = ?", MARK_REVISION);
  }

  #addPieces(revision: number, bytes: Uint8Array, cuts: readonly number[]): void {
    let piece = 0;
    for (const [start, end] of ranges(cuts, bytes.byteLength)) {
      this.#sql.exec("INSERT INTO pieces VALUES (?, ?, ?)", revision, piece++, bytes.subarray(start, end));
    }
  }

  #join(row: Row): { snapshot: SnapshotBytes; sha256: Uint8Array } {
    const bytes = new Uint8Array(row.bytes);
    const cuts: number[] = [];
    let end = 0;
    const pieces = this.#sql.exec<{ bytes: ArrayBuffer }>(
      "SELECT bytes FROM pieces WHERE revision = ? ORDER BY piece",
      row.revision,
    );
    for (const piece of pieces) {
      // More bytes than there should be are cut: the digest then does not match.
      bytes.set(new Uint8Array(piece.bytes).subarray(0, bytes.length - end), end);
      end = Math.min(bytes.length, end + piece.bytes.byteLength);
      cuts.push(end);
    }
    return { snapshot: { id: row.id, tokens: row.tokens, bytes, cuts }, sha256: new Uint8Array(row.sha256) };
  }

  #remove(where: string, ...values: string[]): void {
    this.#sql.exec(`DELETE FROM pieces WHERE revision IN (SELECT revision FROM snapshots WHERE ${where})`, ...values);
    this.#sql.exec(`DELETE FROM snapshots WHERE ${where}`, ...values);
  }
}

type Row = { revision: number; id: string; tokens: number; bytes: number; sha256: ArrayBuffer };

function* ranges(cuts: readonly number[], size: number): Generator<readonly [number, number]> {
  let start = 0;
  for (const cut of [...cuts, size]) {
    for (; start < cut; start = Math.min(cut, start + PIECE_BYTES)) yield [start, Math.min(cut, start + PIECE_BYTES)];
  }
}
