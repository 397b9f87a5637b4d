import type { Backend } from "../../../kernels/backend.ts";
import { LeadershipLost, PackageError } from "../../../weights/errors.ts";
import type { PackageSource } from "../../../weights/source.ts";
import { MemoryBudgetError } from "../../engine/errors.ts";
import type { Model } from "../../engine/model.ts";
import { type Lease, SharedModel } from "../../engine/shared-model.ts";
import type { Limits } from "../env.ts";
import { ApiError } from "../http/api-error.ts";

/** Looks, 20 ms apart, of a request that waits for its turn: some 15 s. Counted, because clocks stand still while a Worker computes. */
const MOST_LOOKS = 750;
const LOOK_MS = 20;

export interface PoolOptions {
  readonly limits: Pick<Limits, "memoryBudget" | "maxSequences">;
  readonly signal: AbortSignal;
}

/** What the pool holds, for metrics and tests. */
export interface PoolStats {
  readonly id: string;
  /** requests that use or wait for the model. */
  readonly users: number;
  readonly loaded: boolean;
  readonly bytes: number;
}

export interface ModelPool {
  /**
   * Borrows a model for one sequence; the lease must be released.
   * @param source of this request, whose I/O it uses should it load
   * @throws ApiError 503 when the isolate is busy, MemoryBudgetError, PackageError, ModelError
   */
  lease(id: string, source: PackageSource, options: PoolOptions): Promise<Lease>;
  stats(): PoolStats[];
}

interface Slot {
  readonly id: string;
  readonly shared: SharedModel;
  /** bytes that it may take, and is counted with until its size is known. */
  readonly room: number;
  readonly sequences: number;
  users: number;
  /** when last used, in leases of the pool. */
  used: number;
  /** its weights could not be loaded: it is dropped when nobody uses it, so that the next request begins anew. */
  broken: boolean;
}

/**
 * The models of an isolate, each loaded once and shared, within one memory budget. A model that needs room evicts those that were idle
 * for longest; when the others are all in use, its request is told to come back.
 *
 * @example
 * const pool = createModelPool(backend);
 * const lease = await pool.lease(id, packageSource(env, entry), { limits, signal });
 */
export function createModelPool(backend: Backend): ModelPool {
  const slots = new Map<string, Slot>();
  let clock = 0;

  async function lease(id: string, source: PackageSource, options: PoolOptions): Promise<Lease> {
    const { limits, signal } = options;
    for (let looks = 0; ; ) {
      const slot = claim(id, limits);
      if (slot === undefined) {
        if (++looks > MOST_LOOKS) throw overloaded(`${id}: too many requests are being served at this moment`);
        await new Promise((wake) => setTimeout(wake, LOOK_MS));
        signal.throwIfAborted();
        continue;
      }
      try {
        return lend(slot, await slot.shared.lease(source, { signal }), signal);
      } catch (error) {
        leave(slot);
        if (!(error instanceof MemoryBudgetError) || slot.room >= limits.memoryBudget) throw error;
        // It did not fit beside the others. Nothing of it is in memory yet.
        if (slots.get(id) === slot) slots.delete(id);
        if (error.need > limits.memoryBudget) {
          throw new MemoryBudgetError(error.demand, error.need, limits.memoryBudget);
        }
        if (!evict()) throw overloaded(`${error.message}. The rest is taken by models that are in use`);
      }
    }
  }

  /** A place for one more sequence of a model, or nothing when it must wait for one. */
  function claim(id: string, limits: PoolOptions["limits"]): Slot | undefined {
    let slot = slots.get(id);
    if (slot === undefined) {
      // How large a model is shows only once it is open, so they are opened one at a time.
      if ([...slots.values()].some((s) => s.shared.model === undefined && s.users > 0)) return undefined;
      const room = limits.memoryBudget - [...slots.values()].reduce((sum, s) => sum + bytesOf(s), 0);
      const sequences = limits.maxSequences;
      const shared = new SharedModel(backend, { memoryBudget: room, sequences });
      slot = { id, shared, room, sequences, users: 0, used: 0, broken: false };
      slots.set(id, slot);
    }
    if (slot.users >= slot.sequences) return undefined;
    slot.users++;
    slot.used = ++clock;
    return slot;
  }

  function lend(slot: Slot, lease: Lease, signal: AbortSignal): Lease {
    let released = false;
    return {
      model: lease.model,
      async more() {
        try {
          await lease.more();
        } catch (error) {
          const fault = error instanceof PackageError && !(error instanceof LeadershipLost);
          if (fault && !signal.aborted) slot.broken = true;
          throw error;
        }
      },
      release() {
        if (released) return;
        released = true;
        lease.release();
        leave(slot);
      },
    };
  }

  function leave(slot: Slot): void {
    slot.users--;
    if (slot.users > 0) return;
    if (slot.shared.model === undefined || (slot.broken && !slot.shared.loaded)) drop(slot);
  }

  function evict(): boolean {
    const idle = [...slots.values()].filter((s) => s.users === 0).sort((a, b) => a.used - b.used)[0];
    if (idle === undefined) return false;
    drop(idle);
    return true;
  }

  function drop(slot: Slot): void {
    slot.shared.dispose();
    if (slots.get(slot.id) === slot) slots.delete(slot.id);
  }

  function stats(): PoolStats[] {
    return [...slots.values()].map((s) => ({ id: s.id, users: s.users, loaded: s.shared.loaded, bytes: bytesOf(s) }));
  }

  return { lease, stats };
}

function bytesOf({ shared, room, sequences }: Slot): number {
  const { model } = shared;
  return model === undefined ? room : memoryOf(model, sequences);
}

/** As the engine counts it before loading; the staging buffer goes when the load is done. */
function memoryOf(model: Model, sequences: number): number {
  const { weights, activations, statePerSequence } = model.executable.memory;
  const staging = model.weights.done ? 0 : Math.max(...model.manifest.shards.map((s) => s.bytes));
  return weights + activations + sequences * statePerSequence + staging;
}

function overloaded(message: string): ApiError {
  return new ApiError({
    status: 503,
    code: "overloaded",
    message: `${message}: send the request again in a moment`,
    headers: { "retry-after": "1" },
  });
}
