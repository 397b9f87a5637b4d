import type { Loaded, SessionHandle, WireOptions } from "../protocol.ts";
import type { BrowserModel, GenerateOptions, Generation, Session } from "./api.ts";
import { type Channel, named } from "./channel.ts";
import { refusedGeneration, startGeneration } from "./generation.ts";
import { checkOptions, unknownOption } from "./options.ts";
import { placeOf } from "./place.ts";

/** The page's view of the model in the Web Worker. */
export function createModel(channel: Channel, { info, ...chosen }: Loaded): BrowserModel {
  const place = placeOf(channel, chosen);
  return {
    info,
    get backend() {
      return place.backend;
    },
    get reason() {
      return place.reason;
    },
    generate(prompt, given = {}) {
      const refused = unknownOption("generate", given);
      if (refused !== undefined) return refusedGeneration(refused);
      const { signal, ...options } = given;
      return startGeneration(channel, "generate", { prompt, options: plain(options) }, signal);
    },
    chat(messages, given = {}) {
      const refused = unknownOption("chat", given);
      if (refused !== undefined) return refusedGeneration(refused);
      const { signal, ...options } = given;
      return startGeneration(channel, "chat", { messages, options: plain(options) }, signal);
    },
    session: async () => createSession(channel, await channel.call("session", undefined)),
    predict: async (examples, queries, options = {}) => {
      checkOptions("predict", options);
      const { signal } = options;
      signal?.throwIfAborted();
      return channel.call("predict", { examples, queries }, { signal });
    },
    onBackendChange: place.onChange,
    async dispose() {
      await channel.call("dispose", undefined).catch(() => {});
      channel.close();
    },
  };
}

function createSession(channel: Channel, handle: SessionHandle): Session {
  const { session } = handle;
  let { tokens } = handle;
  let busy = false;
  /** Two changes at once would leave the order to chance. */
  const idle = (): void => {
    if (busy) throw named("SessionBusyError", "the session is generating: wait for its result, or fork it");
  };
  const moved = (to: SessionHandle): void => {
    tokens = to.tokens;
  };
  return {
    get tokens() {
      return tokens;
    },
    append(text: string, given: GenerateOptions = {}): Generation {
      const refused = unknownOption("append", given);
      if (refused !== undefined) return refusedGeneration(refused);
      const { signal, ...options } = given;
      idle();
      busy = true;
      const generation = startGeneration(channel, "append", { session, text, options: plain(options) }, signal);
      const result = generation.result
        .then((ended) => {
          tokens = ended.promptTokens + ended.completionTokens;
          return ended;
        })
        .finally(() => {
          busy = false;
        });
      result.catch(() => {});
      return { result, [Symbol.asyncIterator]: () => generation[Symbol.asyncIterator]() };
    },
    async fork() {
      idle();
      return createSession(channel, await channel.call("fork", { session }));
    },
    async save() {
      idle();
      return channel.call("save", { session });
    },
    async restore(bytes) {
      idle();
      moved(await channel.call("restore", { session, bytes }));
    },
    async push(id) {
      idle();
      return channel.call("push", { session, id });
    },
    async pull(id) {
      idle();
      moved(await channel.call("pull", { session, id }));
    },
    dispose: () => channel.call("release", { session }),
  };
}

/** Options go as data: what is undefined is left out. */
function plain(options: WireOptions): WireOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
