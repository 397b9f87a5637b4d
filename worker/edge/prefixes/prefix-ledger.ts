import { DurableObject } from "cloudflare:workers";
import { type Env, limitsOf } from "../env.ts";

/** Where a state is kept: the name of its PrefixStore, and its hash there. */
export interface PrefixPlace {
  readonly root: string;
  readonly hash: string;
}

/** What one request used and wants to keep. */
export interface PrefixUse {
  readonly root: string;
  readonly used: readonly string[];
  readonly added: readonly { readonly hash: string; readonly bytes: number }[];
}

/**
 * The bytes that one owner's conversations keep, in all their PrefixStores, within PREFIX_STORE_MB. Named by the owner.
 *
 * @example
 * const evicted = await env.PREFIX_LEDGERS.getByName(owner).record({ root, used: [], added: [{ hash, bytes }] });
 */
export class PrefixLedger extends DurableObject<Env> {
  readonly #sql: SqlStorage;
  readonly #budget: number;
  readonly #ttl: number;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    const limits = limitsOf(env);
    this.#budget = limits.prefixBytes;
    this.#ttl = limits.prefixTtl;
  }

  /** Counts states in, and names those that must go for them: the least recently used first. */
  async record({ root, used, added }: PrefixUse): Promise<PrefixPlace[]> {
    const evicted = this.ctx.storage.transactionSync(() => {
      this.#create();
      const now = Date.now();
      // What is that old goes from its store by itself.
      this.#sql.exec("DELETE FROM entries WHERE used <= ?", now - this.#ttl);
      const { turn } = this.#sql.exec<{ turn: number }>("SELECT COALESCE(MAX(turn), 0) AS turn FROM entries").one();
      const query = "UPDATE entries SET used = ?, turn = ? WHERE root = ? AND hash = ?";
      for (const [i, hash] of used.entries()) this.#sql.exec(query, now, turn + 1 + i, root, hash);
      for (const [i, { hash, bytes }] of added.entries()) {
        const values = [root, hash, bytes, now, turn + 1 + used.length + i];
        this.#sql.exec("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)", ...values);
      }
      return this.#evict();
    });
    if ((await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(Date.now() + this.#ttl);
    return evicted;
  }

  /** Bytes counted now. */
  bytes(): number {
    this.#create();
    return this.#sql.exec<{ bytes: number }>("SELECT COALESCE(SUM(bytes), 0) AS bytes FROM entries").one().bytes;
  }

  override async alarm(): Promise<void> {
    this.#create();
    this.#sql.exec("DELETE FROM entries WHERE used <= ?", Date.now() - this.#ttl);
    const { used } = this.#sql.exec<{ used: number | null }>("SELECT MIN(used) AS used FROM entries").one();
    if (used === null) await this.ctx.storage.deleteAll();
    else await this.ctx.storage.setAlarm(used + this.#ttl);
  }

  #evict(): PrefixPlace[] {
    let over = this.bytes() - this.#budget;
    const evicted: PrefixPlace[] = [];
    if (over <= 0) return evicted;
    type Row = { root: string; hash: string; bytes: number };
    for (const { root, hash, bytes } of this.#sql
      .exec<Row>("SELECT root, hash, bytes FROM entries ORDER BY turn")
      .toArray()) {
      this.#sql.exec("DELETE FROM entries WHERE root = ? AND hash = ?", root, hash);
      evicted.push({ root, hash });
      over -= bytes;
      if (over <= 0) break;
    }
    return evicted;
  }

  #create(): void {
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS entries (
        root TEXT NOT NULL, hash TEXT NOT NULL, bytes INTEGER NOT NULL, used INTEGER NOT NULL, turn INTEGER NOT NULL,
        PRIMARY KEY (root, hash)
      );
    `);
  }
}
