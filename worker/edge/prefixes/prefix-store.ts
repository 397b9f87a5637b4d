import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { soonerAlarm } from "./alarms.ts";
import { bytesHash } from "./boundary-hashes.ts";

/** Most bytes of a BLOB. A row of a Durable Object holds 2 MB. */
const PIECE_BYTES = 1024 * 1024;
/** Most states that a text is compared with: each is a hash over the tokens before it. */
const MOST_COMPARED = 256;

/** A state as it is kept: an encoded snapshot, whose own sha256 is checked by who reads it. */
export interface PrefixEntry {
  readonly hash: string;
  readonly tokens: number;
  readonly bytes: Uint8Array;
}

/** And how long it outlives its last use, in milliseconds. */
export interface NewPrefixEntry extends PrefixEntry {
  readonly ttl: number;
}

/**
 * The states of one conversation and all its branches, by the hash of the tokens up to each. Its name holds the owner: see prefixes.ts.
 *
 * @example
 * const entry = await env.PREFIXES.getByName(root).find(boundaries.map((b) => b.hash));
 */
export class PrefixStore extends DurableObject<Env> {
  readonly #sql: SqlStorage;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
  }

  /** The longest of those that are kept. It counts as a use. */
  find(hashes: readonly string[]): PrefixEntry | undefined {
    if (!this.#exists()) return undefined;
    const query = `SELECT hash, tokens, bytes FROM states WHERE used + ttl > ? AND hash IN (SELECT value FROM json_each(?))
      ORDER BY tokens DESC LIMIT 1`;
    type Row = { hash: string; tokens: number; bytes: number };
    const now = Date.now();
    const row = this.#sql.exec<Row>(query, now, JSON.stringify(hashes)).toArray()[0];
    if (row === undefined) return undefined;
    this.#sql.exec("UPDATE states SET used = ? WHERE hash = ?", now, row.hash);
    const bytes = new Uint8Array(row.bytes);
    let end = 0;
    const pieces = "SELECT bytes FROM pieces WHERE hash = ? ORDER BY piece";
    for (const piece of this.#sql.exec<{ bytes: ArrayBuffer }>(pieces, row.hash)) {
      bytes.set(new Uint8Array(piece.bytes).subarray(0, bytes.length - end), end);
      end += piece.bytes.byteLength;
    }
    return { hash: row.hash, tokens: row.tokens, bytes };
  }

  /** The longest state that a text begins with, whose boundaries the caller does not know. @param tokens u32 little-endian */
  async findIn(tokens: Uint8Array): Promise<PrefixEntry | undefined> {
    if (!this.#exists()) return undefined;
    const query = `SELECT hash, tokens FROM states WHERE tokens <= ? ORDER BY tokens DESC LIMIT ${MOST_COMPARED}`;
    type Row = { hash: string; tokens: number };
    for (const { hash, tokens: length } of this.#sql.exec<Row>(query, tokens.byteLength / 4).toArray()) {
      if ((await bytesHash(tokens.subarray(0, 4 * length))) === hash) return this.find([hash]);
    }
    return undefined;
  }

  /** Keeps states, all of them or none. */
  async put(entries: readonly NewPrefixEntry[]): Promise<void> {
    this.ctx.storage.transactionSync(() => {
      this.#create();
      for (const { hash, tokens, bytes, ttl } of entries) {
        // One that was to stay for longer does.
        const query = "SELECT MAX(?, COALESCE(MAX(ttl), 0)) AS longest FROM states WHERE hash = ?";
        const { longest } = this.#sql.exec<{ longest: number }>(query, ttl, hash).one();
        this.#remove([hash]);
        const values = [hash, tokens, bytes.byteLength, Date.now(), longest];
        this.#sql.exec("INSERT INTO states VALUES (?, ?, ?, ?, ?)", ...values);
        for (let at = 0, piece = 0; at < bytes.byteLength; at += PIECE_BYTES, piece++) {
          this.#sql.exec("INSERT INTO pieces VALUES (?, ?, ?)", hash, piece, bytes.subarray(at, at + PIECE_BYTES));
        }
      }
    });
    await soonerAlarm(this.ctx.storage, Date.now() + Math.min(...entries.map(({ ttl }) => ttl)));
  }

  async remove(hashes: readonly string[]): Promise<void> {
    if (!this.#exists()) return;
    this.ctx.storage.transactionSync(() => this.#remove(hashes));
    await this.#clearWhenEmpty();
  }

  override async alarm(): Promise<void> {
    if (!this.#exists()) return;
    const query = "SELECT hash FROM states WHERE used + ttl <= ?";
    const old = this.#sql.exec<{ hash: string }>(query, Date.now()).toArray();
    this.ctx.storage.transactionSync(() => this.#remove(old.map(({ hash }) => hash)));
    if (await this.#clearWhenEmpty()) return;
    const { end } = this.#sql.exec<{ end: number }>("SELECT MIN(used + ttl) AS end FROM states").one();
    await this.ctx.storage.setAlarm(end);
  }

  async #clearWhenEmpty(): Promise<boolean> {
    const empty = this.#sql.exec("SELECT 1 FROM states LIMIT 1").toArray().length === 0;
    if (empty) {
      await this.ctx.storage.deleteAlarm();
      await this.ctx.storage.deleteAll();
    }
    return empty;
  }

  #remove(hashes: readonly string[]): void {
    for (const hash of hashes) {
      this.#sql.exec("DELETE FROM pieces WHERE hash = ?", hash);
      this.#sql.exec("DELETE FROM states WHERE hash = ?", hash);
    }
  }

  /** An object that keeps nothing has no tables: looking stores nothing. */
  #exists(): boolean {
    return this.#sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'states'").toArray().length > 0;
  }

  #create(): void {
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS states (
        hash TEXT PRIMARY KEY, tokens INTEGER NOT NULL, bytes INTEGER NOT NULL, used INTEGER NOT NULL,
        ttl INTEGER NOT NULL
      );
      CREATE TABLE IF NOT EXISTS pieces (
        hash TEXT NOT NULL, piece INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (hash, piece)
      );
    `);
  }
}
