import type { Page } from "./inside.ts";

/** Calls into the page, one after the other; a failed one fails those after it. */
export class Line {
  readonly #call: <T>(name: string, args: unknown[]) => Promise<T>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(call: <T>(name: string, args: unknown[]) => Promise<T>) {
    this.#call = call;
  }

  call<K extends keyof Page>(name: K, ...args: Parameters<Page[K]>): Promise<Awaited<ReturnType<Page[K]>>> {
    const done = this.#last.then(() => this.#call<Awaited<ReturnType<Page[K]>>>(name, args));
    this.#last = done;
    done.catch(() => {});
    return done;
  }
}
