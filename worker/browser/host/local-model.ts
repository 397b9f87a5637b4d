import { chatFormat } from "../../engine/chat.ts";
import type { Model } from "../../engine/model.ts";
import { Sequence } from "../../engine/sequence.ts";
import { decodeSnapshot, encodeSnapshot, restoreSnapshot, takeSnapshot } from "../../engine/snapshot.ts";
import type { BackendName, ChatMessage } from "../client/api.ts";
import type { WireOptions } from "../protocol.ts";
import { Conversations } from "./conversations.ts";
import type { Edge } from "./edge.ts";
import type { Chosen, HostGeneration, HostModel, HostSession } from "./host-model.ts";
import { runGeneration } from "./local-generation.ts";
import { predictHere } from "./local-prediction.ts";
import { modelInfo } from "./model-info.ts";
import { isOutOfMemory, type Refuge, type Rest } from "./refuge.ts";

/**
 * A model that computes in this Web Worker.
 * @param refuge where it goes on when memory runs out here; without, that is the caller's error
 */
export function localModel(model: Model, chosen: Chosen, edge: Edge, refuge?: Refuge): HostModel {
  const conversations = new Conversations(model);
  const backend = (): BackendName => chosen.backend;
  const rescue =
    refuge &&
    ((sequence: Sequence, rest: Rest, cause: unknown): HostGeneration => {
      refuge.move(cause);
      return refuge.goOn(sequence, rest);
    });

  /** A sequence, or the model at the edge when there is no memory for another one. */
  function sequenceOr<T>(make: () => T): T | HostModel {
    try {
      return refuge?.model ?? make();
    } catch (error) {
      if (refuge === undefined || !isOutOfMemory(error)) throw error;
      return refuge.move(error);
    }
  }

  async function* alone(sequence: Sequence, text: string, options: WireOptions, signal: AbortSignal): HostGeneration {
    const prompt = model.requireTokenizer().encode(text);
    const again =
      refuge &&
      ((anew: WireOptions, cause: unknown, stop: AbortSignal) => refuge.move(cause).generate(text, anew, stop));
    try {
      return yield* runGeneration(sequence, { prompt, options, signal, backend, keepHeld: false, rescue, again });
    } finally {
      sequence.dispose();
    }
  }

  return {
    info: modelInfo(model.manifest, model.blocks),
    get backend() {
      return chosen.backend;
    },
    get reason() {
      return chosen.reason;
    },
    generate(prompt, options, signal): HostGeneration {
      const sequence = sequenceOr(() => new Sequence(model));
      if (!(sequence instanceof Sequence)) return sequence.generate(prompt, options, signal);
      return alone(sequence, prompt, options, signal);
    },
    async *chat(messages: readonly ChatMessage[], options, signal) {
      const begin = performance.now();
      const format = chatFormat(model);
      const { tokens, boundaries } = format.conversation(messages, true);
      const sequence = sequenceOr(() => conversations.resume(tokens));
      if (!(sequence instanceof Sequence)) return yield* sequence.chat(messages, options, signal);
      const cachedTokens = sequence.consumed;
      try {
        // The last token is fed by the generation, which needs something to begin with.
        const end = boundaries.filter((boundary) => boundary < tokens.length).at(-1) ?? 0;
        await conversations.advance(sequence, tokens, end, signal);
        const { endTokens } = format;
        const run = {
          prompt: tokens.slice(sequence.consumed),
          options,
          signal,
          backend,
          endTokens,
          begin,
          keepHeld: false,
          rescue,
          again:
            refuge &&
            ((anew: WireOptions, cause: unknown, stop: AbortSignal) => refuge.move(cause).chat(messages, anew, stop)),
        };
        const keep = (sampled: readonly number[]): void => conversations.keep(sequence, [...tokens, ...sampled]);
        return { ...(yield* runGeneration(sequence, run, keep)), cachedTokens };
      } finally {
        sequence.dispose();
      }
    },
    async session() {
      const sequence = sequenceOr(() => new Sequence(model));
      return sequence instanceof Sequence
        ? localSession({ model, edge, backend, refuge }, sequence)
        : sequence.session();
    },
    async predict(examples, queries, signal) {
      try {
        return await (refuge?.model?.predict(examples, queries, signal) ??
          predictHere(model, examples, queries, signal, backend));
      } catch (error) {
        if (refuge === undefined || !isOutOfMemory(error)) throw error;
        return refuge.move(error).predict(examples, queries, signal);
      }
    },
    dispose() {
      model.dispose();
    },
  };
}

interface Home {
  readonly model: Model;
  readonly edge: Edge;
  readonly backend: () => BackendName;
  readonly refuge: Refuge | undefined;
}

function localSession(home: Home, first: Sequence): HostSession {
  const { model, edge, backend, refuge } = home;
  let sequence = first;
  /** what it is at the edge, once it is there. */
  let there: HostSession | undefined;
  const elsewhere = async (): Promise<HostSession | undefined> => {
    if (refuge?.model !== undefined) there ??= await refuge.take(sequence);
    return there;
  };
  const become = (next: Sequence): void => {
    sequence.dispose();
    sequence = next;
  };
  /** Does what needs memory for another sequence here, else what is to be done at the edge. */
  const here = async <T>(work: () => T | Promise<T>, instead: (session: HostSession) => Promise<T> | T): Promise<T> => {
    const moved = await elsewhere();
    if (moved !== undefined) return instead(moved);
    try {
      return await work();
    } catch (error) {
      if (refuge === undefined || !isOutOfMemory(error)) throw error;
      refuge.move(error);
      return instead((await elsewhere())!);
    }
  };
  const save = async (): Promise<Uint8Array<ArrayBuffer>> =>
    (await elsewhere())?.save() ?? ((await encodeSnapshot(await takeSnapshot(sequence))) as Uint8Array<ArrayBuffer>);
  const restore = async (bytes: Uint8Array): Promise<void> => {
    const snapshot = await decodeSnapshot(bytes);
    await here<void>(
      () => become(restoreSnapshot(model, snapshot, { otherQuantization: true })),
      (session) => session.restore(bytes),
    );
  };
  return {
    get tokens() {
      return there?.tokens ?? sequence.length;
    },
    async *append(text, options, signal) {
      const prompt = text === "" ? [] : model.requireTokenizer().encode(text);
      const before = await here<Sequence | HostSession>(
        () => sequence.fork(),
        (session) => session,
      );
      if (!(before instanceof Sequence)) return yield* before.append(text, options, signal);
      const rescue =
        refuge &&
        ((stopped: Sequence, rest: Rest, cause: unknown): HostGeneration => {
          refuge.move(cause);
          return refuge.goOn(stopped, rest, (session) => {
            there = session;
          });
        });
      const again =
        refuge &&
        async function* fromBefore(anew: WireOptions, cause: unknown, stop: AbortSignal): HostGeneration {
          refuge.move(cause);
          there = await refuge.take(before);
          return yield* there.append(text, anew, stop);
        };
      try {
        const run = { prompt, options, signal, backend, keepHeld: true, rescue, again };
        const result = yield* runGeneration(sequence, run);
        before.dispose();
        return result;
      } catch (error) {
        become(before);
        if (!signal.aborted) throw error;
        const [text, finishReason] = ["", "cancelled" as const];
        const promptTokens = sequence.length;
        const seed = sequence.seed ?? 0;
        return {
          ...{ text, finishReason, promptTokens, seed },
          ...{ cachedTokens: promptTokens, completionTokens: 0, totalMs: 0, backend: backend() },
        };
      }
    },
    fork: () =>
      here<HostSession>(
        () => localSession(home, sequence.fork()),
        (session) => session.fork(),
      ),
    save,
    restore,
    async push(id) {
      const moved = await elsewhere();
      if (moved !== undefined) return moved.push(id);
      const target = id ?? (await edge.createSession(model.manifest.id)).id;
      try {
        await edge.writeState(target, await save());
      } catch (error) {
        if (id === undefined) await edge.removeSession(target).catch(() => {});
        throw error;
      }
      return target;
    },
    pull: async (id) => restore(await edge.readState(id)),
    dispose() {
      sequence.dispose();
      there?.dispose();
    },
  };
}
