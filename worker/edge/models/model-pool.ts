import type { Backend } from "../../../kernels/backend.ts";
import { LeadershipLost, PackageError } from "../../../weights/errors.ts";
import { stagingBytes } from "../../../weights/loader.ts";
import type { PackageSource } from "../../../weights/source.ts";
import { MemoryBudgetError } from "../../engine/errors.ts";
import { memoryNeed } from "../../engine/memory.ts";
import type { Model } from "../../engine/model.ts";
import { type Lease, SharedModel } from "../../engine/shared-model.ts";
import type { Limits } from "../env.ts";
import { ApiError } from "../http/api-error.ts";
import { type Pulse, startPulse } from "./pulse.ts";

/** Looks, 20 ms apart, of a request that waits for its turn: some 15 s. Counted, because clocks stand still while a Worker computes. */
const MOST_LOOKS = 750;
const LOOK_MS = 20;
/** Milliseconds without a sign of life after which a request is taken for gone. */
const GONE_MS = 30_000;

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
   * @throws ApiError 429 when the isolate is busy, MemoryBudgetError, PackageError, ModelError
   */
  lease(id: string, source: PackageSource, options: PoolOptions): Promise<Lease>;
  /**
   * Takes bytes of the budget for other work beside a model that is lent, such as decoding a large picture. Idle models make room.
   * @returns what gives them back
   * @throws ApiError 429 while models in use leave no room, 413 when that one leaves none
   */
  reserve(bytes: number, beside: string, options: PoolOptions): Promise<() => void>;
  stats(): PoolStats[];
}

interface Slot {
  readonly id: string;
  readonly shared: SharedModel;
  /** bytes that it may take, and is counted with until its size is known. */
  readonly room: number;
  readonly sequences: number;
  /** of the requests that use it or wait for it. */
  readonly users: Set<User>;
  /** when last used, in leases of the pool. */
  used: number;
  /**
   * It is dropped when nobody uses it, so that the next request begins anew: its weights could not be loaded, or a request that went
   * without a word left its sequence behind.
   */
  broken: boolean;
}

interface User {
  readonly pulse: Pulse;
  release(): void;
}

/**
 * The models of an isolate, each loaded once and shared, within one memory budget. A model that needs room evicts those that were idle
 * for longest; when the others are all in use, its request is told to come back.
 *
 * @example
 * const pool = createModelPool(backend);
 * const lease = await pool.lease(id, packageSource(env, entry), { limits, signal });
 */
export function createModelPool(backend: Backend, { goneAfter = GONE_MS } = {}): ModelPool {
  const slots = new Map<string, Slot>();
  let clock = 0;
  /** bytes of the budget that are no model's. */
  let reserved = 0;

  async function lease(id: string, source: PackageSource, options: PoolOptions): Promise<Lease> {
    const { limits, signal } = options;
    for (let looks = 0; ; ) {
      const slot = place(id, limits);
      if (slot === undefined) {
        if (++looks > MOST_LOOKS) throw overloaded(`${id}: too many requests are being served at this moment`);
        await new Promise((wake) => setTimeout(wake, LOOK_MS));
        signal.throwIfAborted();
        continue;
      }
      const user = enter(slot);
      try {
        return lend(slot, user, await slot.shared.lease(source, { signal }), signal);
      } catch (error) {
        user.release();
        if (!(error instanceof MemoryBudgetError) || slot.room >= limits.memoryBudget) throw error;
        // It did not fit beside the others. Nothing of it is in memory yet.
        if (slots.get(id) === slot) slots.delete(id);
        if (error.need > limits.memoryBudget) {
          throw new MemoryBudgetError(error.demand, error.need, limits.memoryBudget);
        }
        if (!evict())
          throw overloaded(
            `${error.demand}, and the other models in use leave ${mb(error.budget)} of the ${mb(limits.memoryBudget)} MB that all may take (MEMORY_BUDGET_MB)`,
          );
      }
    }
  }

  async function reserve(bytes: number, beside: string, { limits, signal }: PoolOptions): Promise<() => void> {
    const own = slots.get(beside);
    const alone = bytes + (own === undefined ? 0 : bytesOf(own));
    if (alone > limits.memoryBudget) throw tooLargeBeside(beside, alone, limits.memoryBudget);
    for (let looks = 0; taken() + bytes > limits.memoryBudget; ) {
      if (evict()) continue;
      if (++looks > MOST_LOOKS) throw overloaded("too many requests are being served at this moment");
      await new Promise((wake) => setTimeout(wake, LOOK_MS));
      signal.throwIfAborted();
    }
    reserved += bytes;
    let given = false;
    return () => {
      if (!given) reserved -= bytes;
      given = true;
    };
  }

  function taken(): number {
    return [...slots.values()].reduce((sum, s) => sum + bytesOf(s), reserved);
  }

  /** Where one more sequence of a model may go, or nothing when it must wait. */
  function place(id: string, limits: PoolOptions["limits"]): Slot | undefined {
    let slot = slots.get(id);
    if (slot === undefined) {
      // How large a model is shows only once it is open, so they are opened one at a time.
      const opening = [...slots.values()].filter((s) => s.shared.model === undefined);
      for (const other of opening) bury(other);
      if (opening.some((s) => s.users.size > 0)) return undefined;
      const room = limits.memoryBudget - taken();
      const sequences = limits.maxSequences;
      const shared = new SharedModel(backend, { memoryBudget: room, sequences });
      slot = { id, shared, room, sequences, users: new Set(), used: 0, broken: false };
      slots.set(id, slot);
    }
    if (slot.users.size >= slot.sequences) bury(slot);
    return slots.get(id) === slot && slot.users.size < slot.sequences ? slot : undefined;
  }

  function enter(slot: Slot): User {
    const pulse = startPulse();
    const user: User = {
      pulse,
      release() {
        if (!slot.users.delete(user)) return;
        pulse.stop();
        if (slot.users.size === 0 && (slot.broken || slot.shared.model === undefined)) drop(slot);
      },
    };
    slot.users.add(user);
    slot.used = ++clock;
    return user;
  }

  function lend(slot: Slot, user: User, lease: Lease, signal: AbortSignal): Lease {
    const { release } = user;
    user.release = () => {
      lease.release();
      release();
    };
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
        if (slot.shared.loaded) slot.broken = false;
      },
      release: () => user.release(),
    };
  }

  /** Lets go of what requests hold that are gone. What their sequences take is only freed with the model. */
  function bury(slot: Slot): void {
    for (const user of slot.users) {
      if (user.pulse.silence <= goneAfter) continue;
      slot.broken = true;
      user.release();
    }
  }

  /** Whether there is more room now. */
  function evict(): boolean {
    const before = slots.size;
    for (const slot of slots.values()) bury(slot);
    if (slots.size < before) return true;
    const idle = [...slots.values()].filter((s) => s.users.size === 0).sort((a, b) => a.used - b.used)[0];
    if (idle !== undefined) drop(idle);
    return idle !== undefined;
  }

  function drop(slot: Slot): void {
    slot.shared.dispose();
    if (slots.get(slot.id) === slot) slots.delete(slot.id);
  }

  function stats(): PoolStats[] {
    return [...slots.values()].map((s) => ({
      id: s.id,
      users: s.users.size,
      loaded: s.shared.loaded,
      bytes: bytesOf(s),
    }));
  }

  return { lease, reserve, stats };
}

function bytesOf({ shared, room, sequences }: Slot): number {
  const { model } = shared;
  return model === undefined ? room : memoryOf(model, sequences);
}

/** As the engine counts it before loading; the staging buffers go when the load is done. */
function memoryOf(model: Model, sequences: number): number {
  const { executable, weights, manifest } = model;
  return memoryNeed(executable.memory, sequences, weights.done ? 0 : stagingBytes(manifest));
}

function tooLargeBeside(model: string, need: number, budget: number): ApiError {
  return new ApiError({
    code: "image_too_large",
    param: "image",
    message: `decoding the picture beside ${model} takes ${mb(need)} MB, models and pictures may take ${mb(budget)} MB: make it smaller first`,
  });
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function overloaded(message: string): ApiError {
  return new ApiError({
    code: "overloaded",
    message: `${message}: send the request again in a moment`,
    headers: { "retry-after": "1" },
  });
}
