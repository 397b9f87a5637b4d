import type { ChatMessage, ModelInfo } from "../client/api.ts";
import type { Edge } from "./edge.ts";
import type { HostModel } from "./host-model.ts";
import { remoteGeneration, wireFields } from "./remote-generation.ts";
import { remoteSession } from "./remote-session.ts";

/** What of a reply to a prediction is used. A prediction of one number is a number. */
interface IclReply {
  readonly predictions: readonly (number | readonly number[])[];
  readonly before: readonly (number | readonly number[])[];
  readonly usage: { readonly state_bytes: number };
  readonly note?: string;
}

const vector = (value: number | readonly number[]): readonly number[] => (typeof value === "number" ? [value] : value);

/** A model that computes at the edge. */
export function remoteModel(edge: Edge, info: ModelInfo, reason: string): HostModel {
  return {
    info,
    backend: "rest",
    reason,
    generate: (prompt, options, signal) =>
      remoteGeneration(
        edge.stream("/v1/completions", { model: info.id, prompt, ...wireFields(options) }, signal),
        signal,
      ),
    chat: (messages: readonly ChatMessage[], options, signal) =>
      remoteGeneration(
        edge.stream("/v1/chat/completions", { model: info.id, messages, ...wireFields(options) }, signal),
        signal,
      ),
    session: async () => remoteSession(edge, info),
    async predict(examples, queries, signal) {
      const begin = performance.now();
      const json = { model: info.id, examples, query: queries };
      const response = await edge.request("POST", "/v1/icl/predictions", { json, signal });
      const { predictions, before, usage, note } = (await response.json()) as IclReply;
      return {
        predictions: predictions.map(vector),
        before: before.map(vector),
        stateBytes: usage.state_bytes,
        ...(note !== undefined && { note }),
        totalMs: performance.now() - begin,
        backend: "rest",
      };
    },
    dispose() {},
  };
}
