import type { ModelInfo } from "../client/api.ts";
import type { Edge, EdgeSession } from "./edge.ts";
import type { HostSession } from "./host-model.ts";
import { remoteGeneration, wireFields } from "./remote-generation.ts";

/** A session that computes at the edge. @param session there; made when it is first needed */
export function remoteSession(edge: Edge, info: ModelInfo, session?: EdgeSession): HostSession {
  let current = session;
  const ensure = async (): Promise<string> => {
    current ??= await edge.createSession(info.id);
    return current.id;
  };
  const copyOf = async (other: string): Promise<void> => {
    current = await edge.forkSession(other);
  };
  return {
    get tokens() {
      return current?.tokens ?? 0;
    },
    async *append(text, options, signal) {
      const id = await ensure();
      const { tokens, snapshot } = current!;
      const body = { ...(text !== "" && { text }), ...(snapshot !== null && { snapshot }), ...wireFields(options) };
      const path = (of: string): string => `/v1/sessions/${encodeURIComponent(of)}/append`;
      let stored: EdgeSession | undefined;
      const result = yield* remoteGeneration(edge.stream(path(id), body, signal), signal, (event) => {
        const { usage } = event;
        if (event.session === undefined || event.snapshot === undefined || usage == null) return;
        const length = usage.prompt_tokens + usage.completion_tokens;
        stored = { id: event.session, tokens: length, snapshot: event.snapshot };
      });
      if (stored !== undefined) current = stored;
      if (result.finishReason !== "cancelled") return result;
      const nothing = { ...result, promptTokens: tokens, completionTokens: 0 };
      if (result.completionTokens === 0) return nothing;
      // The edge keeps nothing of a stream that is broken off. It is asked once more for what came of it, with the same draws.
      if (snapshot === null) {
        // One that had come to its end unnoticed would have moved the session on.
        current = undefined;
        await edge.removeSession(id).catch(() => {});
      }
      const json = { ...body, max_tokens: result.completionTokens, seed: result.seed };
      const reply = await edge.request("POST", path(await ensure()), { json });
      const { session: kept, snapshot: latest } = (await reply.json()) as { session: string; snapshot: string };
      current = { id: kept, tokens: result.promptTokens + result.completionTokens, snapshot: latest };
      return result;
    },
    async fork() {
      return remoteSession(edge, info, current && (await edge.forkSession(current.id)));
    },
    async save() {
      return edge.readState(await ensure());
    },
    async restore(bytes) {
      const target = await ensure();
      await edge.writeState(target, bytes);
      current = await edge.readSession(target);
    },
    async push(target) {
      if (target === undefined) return (await edge.forkSession(await ensure())).id;
      await edge.writeState(target, await edge.readState(await ensure()));
      return target;
    },
    // A session of another place goes on there: this one is a copy.
    pull: copyOf,
    dispose() {},
  };
}
