import type { BackendName, BrowserModel } from "./api.ts";
import type { Channel } from "./channel.ts";
import { listener as aListener, check } from "./kinds.ts";

type Place = Pick<BrowserModel, "backend" | "reason"> & { readonly onChange: BrowserModel["onBackendChange"] };

/** Where a model computes, as the Web Worker told it last. */
export function placeOf(channel: Channel, { backend, reason }: Pick<BrowserModel, "backend" | "reason">): Place {
  let now: [backend: BackendName, reason: string] = [backend, reason];
  const listeners = new Set<(backend: BackendName, reason: string) => void>();
  channel.onBackend = (...change) => {
    now = change;
    for (const listener of listeners) listener(...change);
  };
  return {
    get backend() {
      return now[0];
    },
    get reason() {
      return now[1];
    },
    onChange(listener) {
      check("listener", listener, aListener);
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
