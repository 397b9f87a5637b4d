import type { PrefixPlace } from "../prefixes/prefix-ledger.ts";

/** Most bytes of a BLOB. A row of a Durable Object holds 2 MB. */
const PIECE_BYTES = 1024 * 1024;

/** A response as it is stored: its own input items and the reply, as JSON in UTF-8. */
export interface ResponseRow {
  readonly id: string;
  /** the response that it went on from. */
  readonly parent: string | null;
  readonly body: Uint8Array;
  /** where states of it are kept. */
  readonly states: readonly PrefixPlace[];
}

/**
 * The tables of one conversation's responses, a tree. A deleted one that others went on from stays, unseen, as part of their
 * conversation. All of it is synchronous.
 */
export class ResponseTables {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Whose they are; undefined in an object that holds nothing. */
  owner(): string | undefined {
    const tables = this.#sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'conversation'").toArray();
    if (tables.length === 0) return undefined;
    return this.#sql.exec<{ owner: string }>("SELECT owner FROM conversation").toArray()[0]?.owner;
  }

  create(owner: string): void {
    this.#sql.exec(`
      CREATE TABLE conversation (owner TEXT NOT NULL);
      CREATE TABLE responses (
        id TEXT PRIMARY KEY, parent TEXT, deleted INTEGER NOT NULL, bytes INTEGER NOT NULL, states TEXT NOT NULL
      );
      CREATE INDEX children ON responses (parent);
      CREATE TABLE pieces (id TEXT NOT NULL, piece INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (id, piece));
    `);
    this.#sql.exec("INSERT INTO conversation VALUES (?)", owner);
  }

  add({ id, parent, body, states }: ResponseRow): void {
    const values = [id, parent, 0, body.byteLength, JSON.stringify(states)];
    this.#sql.exec("INSERT INTO responses VALUES (?, ?, ?, ?, ?)", ...values);
    for (let at = 0, piece = 0; at < body.byteLength; at += PIECE_BYTES, piece++) {
      this.#sql.exec("INSERT INTO pieces VALUES (?, ?, ?)", id, piece, body.subarray(at, at + PIECE_BYTES));
    }
  }

  has(id: string): boolean {
    return this.#sql.exec("SELECT 1 FROM responses WHERE id = ? AND deleted = 0", id).toArray().length > 0;
  }

  /** The bodies of a response and all that it went on from, the first one first. */
  bodies(id: string): Uint8Array[] {
    const query = `
      WITH RECURSIVE past (id, parent, bytes, depth) AS (
        SELECT id, parent, bytes, 0 FROM responses WHERE id = ?
        UNION ALL
        SELECT r.id, r.parent, r.bytes, depth + 1 FROM responses r JOIN past ON r.id = past.parent
      ) SELECT id, bytes FROM past ORDER BY depth DESC`;
    const rows = this.#sql.exec<{ id: string; bytes: number }>(query, id).toArray();
    return rows.map((row) => this.body(row.id, row.bytes));
  }

  body(id: string, size = this.#size(id)): Uint8Array {
    const body = new Uint8Array(size);
    let end = 0;
    const pieces = "SELECT bytes FROM pieces WHERE id = ? ORDER BY piece";
    for (const piece of this.#sql.exec<{ bytes: ArrayBuffer }>(pieces, id)) {
      body.set(new Uint8Array(piece.bytes), end);
      end += piece.bytes.byteLength;
    }
    return body;
  }

  /** Hides a response, and deletes all that no other one goes on from. @returns where states are kept that are no other's */
  remove(id: string): PrefixPlace[] {
    const states = this.#states("id = ?", id);
    this.#sql.exec("UPDATE responses SET deleted = 1, states = '[]' WHERE id = ?", id);
    const lone =
      "SELECT id FROM responses r WHERE deleted = 1 AND NOT EXISTS (SELECT 1 FROM responses WHERE parent = r.id)";
    for (let rows = this.#ids(lone); rows.length > 0; rows = this.#ids(lone)) {
      for (const gone of rows) {
        this.#sql.exec("DELETE FROM pieces WHERE id = ?", gone);
        this.#sql.exec("DELETE FROM responses WHERE id = ?", gone);
      }
    }
    const others = new Set(this.#states("deleted = 0").map(({ root, hash }) => `${root} ${hash}`));
    return states.filter(({ root, hash }) => !others.has(`${root} ${hash}`));
  }

  bytes(): number {
    return this.#sql.exec<{ bytes: number }>("SELECT COALESCE(SUM(bytes), 0) AS bytes FROM responses").one().bytes;
  }

  #size(id: string): number {
    return this.#sql.exec<{ bytes: number }>("SELECT bytes FROM responses WHERE id = ?", id).one().bytes;
  }

  #ids(query: string): string[] {
    return this.#sql
      .exec<{ id: string }>(query)
      .toArray()
      .map(({ id }) => id);
  }

  #states(where: string, ...values: string[]): PrefixPlace[] {
    const rows = this.#sql.exec<{ states: string }>(`SELECT states FROM responses WHERE ${where}`, ...values).toArray();
    return rows.flatMap(({ states }) => JSON.parse(states) as PrefixPlace[]);
  }
}
