import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";

export interface SessionPage {
  readonly ids: readonly string[];
  readonly more: boolean;
}

export interface SessionPageOptions {
  /** ids order sessions by their making. This one need not be there any more. */
  readonly after?: string | undefined;
  readonly limit: number;
  readonly order: "asc" | "desc";
}

/**
 * The ids of one owner's sessions. What they hold is in their own objects. Named by the owner.
 *
 * @example
 * const { ids, more } = await env.SESSION_INDEXES.getByName(owner).page({ limit: 20, order: "desc" });
 */
export class SessionIndex extends DurableObject<Env> {
  add(id: string): void {
    this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY) WITHOUT ROWID");
    this.ctx.storage.sql.exec("INSERT OR IGNORE INTO sessions VALUES (?)", id);
  }

  async remove(id: string): Promise<void> {
    if (!this.#exists()) return;
    const { sql } = this.ctx.storage;
    sql.exec("DELETE FROM sessions WHERE id = ?", id);
    if (sql.exec("SELECT 1 FROM sessions LIMIT 1").toArray().length === 0) await this.ctx.storage.deleteAll();
  }

  page({ after, limit, order }: SessionPageOptions): SessionPage {
    if (!this.#exists()) return { ids: [], more: false };
    const [beyond, direction, start] = order === "asc" ? [">", "ASC", ""] : ["<", "DESC", "~"];
    const query = `SELECT id FROM sessions WHERE id ${beyond} ? ORDER BY id ${direction} LIMIT ?`;
    const rows = this.ctx.storage.sql.exec<{ id: string }>(query, after ?? start, limit + 1).toArray();
    return { ids: rows.slice(0, limit).map(({ id }) => id), more: rows.length > limit };
  }

  /** Asking for sessions where there are none stores nothing. */
  #exists(): boolean {
    return this.ctx.storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'sessions'").toArray().length > 0;
  }
}
