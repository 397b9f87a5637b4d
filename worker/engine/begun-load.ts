import type { PackageLoad } from "../../weights/loader.ts";
import type { PackageSource } from "../../weights/source.ts";

/** A load that is led from here. */
export interface BegunLoad {
  /** Waits for the next shard; nothing once all have arrived. @throws PackageError when it cannot be had, LeadershipLost, the signal's reason */
  more(): Promise<void>;
  /** Leaves what has not arrived to the next leader. Safe to call twice. */
  end(): void;
}

/**
 * Leads a package's load, with its first shards on their way at once: they are read and hashed on other threads while this one parses
 * a tokenizer or a prompt.
 */
export function beginLoad(weights: PackageLoad, source: PackageSource, signal?: AbortSignal): BegunLoad {
  const shards = weights.lead(source, { signal });
  let first: Promise<unknown> | undefined = shards.next();
  // Heard when it is waited for, if it is.
  first.catch(() => {});
  return {
    async more() {
      const next = first ?? shards.next();
      first = undefined;
      await next;
    },
    end: () => void shards.return().catch(() => {}),
  };
}
