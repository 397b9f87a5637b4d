import { DurableObject } from "cloudflare:workers";
import { type Env, limitsOf } from "../env.ts";
import { soonerAlarm } from "./alarms.ts";

/** Where a state is kept: the name of its PrefixStore, and its hash there; or that of a conversation's responses (evict.ts). */
export interface PrefixPlace {
  readonly root: string;
  readonly hash: string;
}

/** What one request used and wants to keep. */
export interface PrefixUse {
  readonly root: string;
  readonly used: readonly string[];
  /** ttl: milliseconds that it outlives its last use. */
  readonly added: readonly { readonly hash: string; readonly bytes: number; readonly ttl: number }[];
}

/**
 * The bytes that one owner's conversations keep, in all their PrefixStores and ResponseStores, within PREFIX_STORE_MB. Named by the
 * owner.
 *
 * @example
 * const evicted = await env.PREFIX_LEDGERS.getByName(owner).record({ root, used: [], added: [{ hash, bytes, ttl }] });
 */
export class PrefixLedger extends DurableObject<Env> {
  readonly #sql: SqlStorage;
  readonly #budget: number;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#budget = limitsOf(env).prefixBytes;
  }

  /** Counts in what is kept, and names what must go for it: the least recently used first. */
  async record({ root, used, added }: PrefixUse): Promise<PrefixPlace[]> {
    const evicted = this.ctx.storage.transactionSync(() => {
      this.#create();
      const now = Date.now();
      // What is that old goes from its store by itself.
      this.#sql.exec("DELETE FROM kept WHERE used + ttl <= ?", now);
      const { turn } = this.#sql.exec<{ turn: number }>("SELECT COALESCE(MAX(turn), 0) AS turn FROM kept").one();
      const query = "UPDATE kept SET used = ?, turn = ? WHERE root = ? AND hash = ?";
      for (const [i, hash] of used.entries()) this.#sql.exec(query, now, turn + 1 + i, root, hash);
      for (const [i, { hash, bytes, ttl }] of added.entries()) {
        const values = [root, hash, bytes, now, turn + 1 + used.length + i, ttl];
        const whenThere =
          "bytes = excluded.bytes, used = excluded.used, turn = excluded.turn, ttl = MAX(ttl, excluded.ttl)";
        this.#sql.exec(`INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET ${whenThere}`, ...values);
      }
      return this.#evict();
    });
    if (added.length > 0) await soonerAlarm(this.ctx.storage, Date.now() + Math.min(...added.map(({ ttl }) => ttl)));
    return evicted;
  }

  /** Counts out what was deleted. */
  forget(places: readonly PrefixPlace[]): void {
    this.#create();
    const query = "DELETE FROM kept WHERE root = ? AND hash = ?";
    this.ctx.storage.transactionSync(() => {
      for (const { root, hash } of places) this.#sql.exec(query, root, hash);
    });
  }

  /** Bytes counted now. */
  bytes(): number {
    this.#create();
    return this.#sql.exec<{ bytes: number }>("SELECT COALESCE(SUM(bytes), 0) AS bytes FROM kept").one().bytes;
  }

  override async alarm(): Promise<void> {
    this.#create();
    this.#sql.exec("DELETE FROM kept WHERE used + ttl <= ?", Date.now());
    const { end } = this.#sql.exec<{ end: number | null }>("SELECT MIN(used + ttl) AS end FROM kept").one();
    if (end === null) await this.ctx.storage.deleteAll();
    else await this.ctx.storage.setAlarm(end);
  }

  #evict(): PrefixPlace[] {
    let over = this.bytes() - this.#budget;
    const evicted: PrefixPlace[] = [];
    if (over <= 0) return evicted;
    type Row = { root: string; hash: string; bytes: number };
    for (const { root, hash, bytes } of this.#sql
      .exec<Row>("SELECT root, hash, bytes FROM kept ORDER BY turn")
      .toArray()) {
      this.#sql.exec("DELETE FROM kept WHERE root = ? AND hash = ?", root, hash);
      evicted.push({ root, hash });
      over -= bytes;
      if (over <= 0) break;
    }
    return evicted;
  }

  #create(): void {
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS kept (
        root TEXT NOT NULL, hash TEXT NOT NULL, bytes INTEGER NOT NULL, used INTEGER NOT NULL, turn INTEGER NOT NULL,
        ttl INTEGER NOT NULL,
        PRIMARY KEY (root, hash)
      );
    `);
  }
}
