import type { Backend } from "../../kernels/backend.ts";
import { LeadershipLost } from "../../weights/errors.ts";
import type { PackageLoad } from "../../weights/loader.ts";
import type { PackageSource } from "../../weights/source.ts";
import { type BegunLoad, beginLoad } from "./begun-load.ts";
import { Model, type ModelOptions } from "./model.ts";

/** Milliseconds between two looks of a follower at the load. */
const POLL_MS = 4;
/** Looks without any progress after which a follower takes the load over: about five seconds of a leader that is gone without a word. */
const STALL_POLLS = 1250;

/** A model on loan to one request. */
export interface Lease {
  readonly model: Model;
  /** Waits until more blocks are loaded. Only a leader has blocks to wait for. @throws PackageError when the weights cannot be had */
  more(): Promise<void>;
  /** Ends the loan. A leader that has not finished loading leaves the rest to the next. Safe to call twice. */
  release(): void;
}

export interface LeaseOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called at each look while another request loads. */
  readonly onWait?: (() => void) | undefined;
}

/**
 * One model of an isolate, loaded once and shared by concurrent requests.
 *
 * The first request leads: its own I/O reads the shards, and its first chunk computes as they arrive. The others look at the progress
 * with timers of their own, because in a Worker I/O belongs to the request that began it and ends with it. When the leader goes away,
 * the next takes over from the shards already verified.
 */
export class SharedModel {
  readonly #backend: Backend;
  readonly #options: ModelOptions;
  #model: Model | undefined;
  /** the lease that leads; a lease that finds another here must not touch the load again. */
  #leader: object | undefined;
  /** requests using the model. */
  leases = 0;

  constructor(backend: Backend, options: ModelOptions = {}) {
    this.#backend = backend;
    this.#options = options;
  }

  /** The model, once opened. */
  get model(): Model | undefined {
    return this.#model;
  }

  /** Every weight has arrived. */
  get loaded(): boolean {
    return this.#model?.weights.done === true;
  }

  /**
   * Borrows the model. The lease must be released.
   * @param source of this request, whose I/O it uses should it lead
   */
  async lease(source: PackageSource, options: LeaseOptions = {}): Promise<Lease> {
    const watch = { leader: this.#leader, beats: -1, still: 0 };
    while (!this.loaded && this.#leader !== undefined && watch.still < STALL_POLLS) {
      options.onWait?.();
      await new Promise((wake) => setTimeout(wake, POLL_MS));
      options.signal?.throwIfAborted();
      const beats = this.#model?.weights.beats ?? 0;
      watch.still = beats === watch.beats && this.#leader === watch.leader ? watch.still + 1 : 0;
      watch.beats = beats;
      watch.leader = this.#leader;
    }
    // No await between the loop's last look and the claim: two followers cannot both take the lead.
    if (this.loaded)
      return this.#lend(
        this.#model!,
        async () => {},
        () => {},
      );
    return this.#lead(source, options);
  }

  /** Borrows the model with all its weights. */
  async leaseLoaded(source: PackageSource, options: LeaseOptions = {}): Promise<Lease> {
    const lease = await this.lease(source, options);
    try {
      while (!lease.model.weights.done) await lease.more();
    } catch (error) {
      lease.release();
      throw error;
    }
    return lease;
  }

  /** Drops the model's memory. @throws when it is in use */
  dispose(): void {
    if (this.leases > 0) throw new Error(`the model is in use by ${this.leases} requests`);
    this.#model?.dispose();
    this.#model = undefined;
  }

  async #lead(source: PackageSource, { signal }: LeaseOptions): Promise<Lease> {
    const me = {};
    this.#leader = me;
    const leave = (): void => {
      if (this.#leader !== me) return;
      this.#leader = undefined;
      this.#model?.weights.abandon();
    };
    let load: BegunLoad | undefined;
    const begin = (weights: PackageLoad): void => {
      // A leader that went away without a word still holds the load.
      weights.abandon();
      load = beginLoad(weights, source, signal);
    };
    try {
      const options = { ...this.#options, ...(signal && { signal }), onPlaced: begin };
      const model = this.#model ?? (await Model.open(source, this.#backend, options));
      if (this.#leader !== me) {
        // Another request took over while this one's I/O stood still.
        if (this.#model !== model) model.dispose();
        throw new LeadershipLost(
          "another request took the loading of the model over while this one stood still: send the request again",
        );
      }
      this.#model = model;
      if (load === undefined) begin(model.weights);
      const { more: next, end } = load!;
      const more = async (): Promise<void> => {
        try {
          await next();
        } catch (error) {
          leave();
          throw error;
        }
        if (model.weights.done && this.#leader === me) this.#leader = undefined;
      };
      return this.#lend(model, more, () => {
        leave();
        end();
      });
    } catch (error) {
      leave();
      load?.end();
      throw error;
    }
  }

  #lend(model: Model, more: () => Promise<void>, onRelease: () => void): Lease {
    this.leases++;
    let released = false;
    return {
      model,
      more,
      release: () => {
        if (released) return;
        released = true;
        this.leases--;
        onRelease();
      },
    };
  }
}
