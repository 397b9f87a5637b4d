import type { Loaded, SessionHandle } from "../protocol.ts";
import type { BrowserModel, ModelInfo, Session } from "./api.ts";
import { checkExamples, checkMessages, checkQueries } from "./arguments.ts";
import { type Channel, named } from "./channel.ts";
import { begun, startGeneration } from "./generation.ts";
import { check, stateBytes, text } from "./kinds.ts";
import { optionsOf } from "./options.ts";
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
    generate: (prompt, given) =>
      begun(() => {
        check("prompt", prompt, text);
        requireText(info);
        const { signal, ...options } = optionsOf("generate", given);
        return startGeneration(channel, "generate", { prompt, options }, signal);
      }),
    chat: (messages, given) =>
      begun(() => {
        checkMessages(messages);
        requireText(info);
        const { signal, ...options } = optionsOf("chat", given);
        return startGeneration(channel, "chat", { messages, options }, signal);
      }),
    session: async () => createSession(channel, info, await channel.call("session", undefined)),
    predict: async (examples, queries, given) => {
      checkExamples(examples);
      checkQueries(queries);
      const { signal, standardize } = optionsOf("predict", given);
      signal?.throwIfAborted();
      return channel.call("predict", { examples, queries, standardize }, { signal });
    },
    async setApiKey(apiKey) {
      if (apiKey !== undefined) check("apiKey", apiKey, text, ", or undefined for none");
      return channel.call("setApiKey", { apiKey });
    },
    onBackendChange: place.onChange,
    async dispose() {
      await channel.call("dispose", undefined).catch(() => {});
      channel.close();
    },
  };
}

function createSession(channel: Channel, info: ModelInfo, handle: SessionHandle): Session {
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
    append: (more, given) =>
      begun(() => {
        check("text", more, text, ', or "" to go on');
        requireText(info);
        const { signal, ...options } = optionsOf("append", given);
        idle();
        const generation = startGeneration(channel, "append", { session, text: more, options }, signal);
        busy = true;
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
      }),
    async fork() {
      idle();
      return createSession(channel, info, await channel.call("fork", { session }));
    },
    async save() {
      idle();
      return channel.call("save", { session });
    },
    async restore(bytes) {
      check("bytes", bytes, stateBytes);
      idle();
      moved(await channel.call("restore", { session, bytes }));
    },
    async push(id) {
      if (id !== undefined) check("id", id, text, " such as push() gives");
      idle();
      return channel.call("push", { session, id });
    },
    async pull(id) {
      check("id", id, text, " such as push() gives");
      idle();
      moved(await channel.call("pull", { session, id }));
    },
    dispose: () => channel.call("release", { session }),
  };
}

/** @throws Error named ModelError */
function requireText({ id, inputs }: ModelInfo): void {
  if (inputs === 0) return;
  throw named("ModelError", `${id} learns from examples and writes no text: call model.predict(examples, queries)`);
}
