import { DurableObject } from "cloudflare:workers";
import { type Env, limitsOf } from "../env.ts";
import type { PrefixPlace } from "../prefixes/prefix-ledger.ts";
import { type ResponseRow, ResponseTables } from "./response-tables.ts";

/** What a conversation keeps after a change. */
export interface Kept {
  /** 0: nothing is left. */
  readonly bytes: number;
}

/**
 * The stored responses of one conversation and all its branches. Named by the part of their ids that they share.
 *
 * Methods answer undefined for a response that is not there or another owner's.
 *
 * @example
 * await env.RESPONSES.getByName(conversation).put(owner, { id, parent: null, body, states: [] });
 */
export class ResponseStore extends DurableObject<Env> {
  readonly #tables: ResponseTables;
  readonly #ttl: number;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#tables = new ResponseTables(ctx.storage.sql);
    this.#ttl = limitsOf(env).responseTtl;
  }

  /** Undefined when the one that it goes on from was deleted meanwhile. */
  async put(owner: string, row: ResponseRow): Promise<Kept | undefined> {
    const stored = this.ctx.storage.transactionSync(() => {
      if (row.parent !== null && !this.#has(owner, row.parent)) return false;
      if (this.#tables.owner() === undefined) this.#tables.create(owner);
      this.#tables.add(row);
      return true;
    });
    if (!stored) return undefined;
    await this.ctx.storage.setAlarm(Date.now() + this.#ttl);
    return { bytes: this.#tables.bytes() };
  }

  read(owner: string, id: string): Uint8Array | undefined {
    return this.#has(owner, id) ? this.#tables.body(id) : undefined;
  }

  /** It and all that it went on from, the first one first. */
  readAll(owner: string, id: string): Uint8Array[] | undefined {
    return this.#has(owner, id) ? this.#tables.bodies(id) : undefined;
  }

  /** And says where states are kept that only it had. */
  async remove(owner: string, id: string): Promise<(Kept & { readonly states: readonly PrefixPlace[] }) | undefined> {
    if (!this.#has(owner, id)) return undefined;
    const states = this.ctx.storage.transactionSync(() => this.#tables.remove(id));
    const bytes = this.#tables.bytes();
    if (bytes === 0) await this.clear();
    return { bytes, states };
  }

  async clear(): Promise<void> {
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
  }

  override alarm(): Promise<void> {
    return this.clear();
  }

  #has(owner: string, id: string): boolean {
    return this.#tables.owner() === owner && this.#tables.has(id);
  }
}
