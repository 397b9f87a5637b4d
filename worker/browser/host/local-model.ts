import { chatFormat } from "../../engine/chat.ts";
import type { Model } from "../../engine/model.ts";
import { Sequence } from "../../engine/sequence.ts";
import { decodeSnapshot, encodeSnapshot, restoreSnapshot, takeSnapshot } from "../../engine/snapshot.ts";
import type { BackendName, ChatMessage } from "../client/api.ts";
import type { WireOptions } from "../protocol.ts";
import { Conversations } from "./conversations.ts";
import type { Edge } from "./edge.ts";
import type { HostGeneration, HostModel, HostSession } from "./host-model.ts";
import { runGeneration } from "./local-generation.ts";
import { modelInfo } from "./model-info.ts";

/** How a local model is named; it changes when its backend fails. */
export interface Chosen {
  backend: Exclude<BackendName, "rest">;
  reason: string;
}

/** A model that computes in this Web Worker. */
export function localModel(model: Model, chosen: Chosen, edge: Edge): HostModel {
  const conversations = new Conversations(model);
  const backend = (): BackendName => chosen.backend;

  async function* alone(sequence: Sequence, tokens: readonly number[], options: WireOptions, signal: AbortSignal) {
    try {
      return yield* runGeneration(sequence, { prompt: tokens, options, signal, backend, keepHeld: false });
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
      return alone(new Sequence(model), model.requireTokenizer().encode(prompt), options, signal);
    },
    async *chat(messages: readonly ChatMessage[], options, signal) {
      const begin = performance.now();
      const format = chatFormat(model);
      const { tokens, boundaries } = format.conversation(messages, true);
      const sequence = conversations.resume(tokens);
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
        };
        const keep = (sampled: readonly number[]): void => conversations.keep(sequence, [...tokens, ...sampled]);
        return { ...(yield* runGeneration(sequence, run, keep)), cachedTokens };
      } finally {
        sequence.dispose();
      }
    },
    session: async () => localSession(model, edge, backend, new Sequence(model)),
    dispose() {
      model.dispose();
    },
  };
}

function localSession(model: Model, edge: Edge, backend: () => BackendName, first: Sequence): HostSession {
  let sequence = first;
  const become = (next: Sequence): void => {
    sequence.dispose();
    sequence = next;
  };
  const save = async (): Promise<Uint8Array<ArrayBuffer>> =>
    (await encodeSnapshot(await takeSnapshot(sequence))) as Uint8Array<ArrayBuffer>;
  const restore = async (bytes: Uint8Array): Promise<void> => {
    become(restoreSnapshot(model, await decodeSnapshot(bytes), { otherQuantization: true }));
  };
  return {
    get tokens() {
      return sequence.length;
    },
    async *append(text, options, signal) {
      const prompt = text === "" ? [] : model.requireTokenizer().encode(text);
      const before = sequence.fork();
      try {
        const result = yield* runGeneration(sequence, { prompt, options, signal, backend, keepHeld: true });
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
    fork: async () => localSession(model, edge, backend, sequence.fork()),
    save,
    restore,
    async push(id) {
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
    dispose: () => sequence.dispose(),
  };
}
