import type { GenerationResult, ModelInfo } from "../client/api.ts";
import type { Edge, EdgeSession } from "./edge.ts";
import { EdgeError } from "./errors.ts";
import type { HostSession } from "./host-model.ts";
import { remoteGeneration, wireFields } from "./remote-generation.ts";

/** What of an append's reply is used. */
interface Kept {
  readonly session: string;
  readonly snapshot: string;
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number };
}

/** A session that computes at the edge. @param session there; made when it is first needed */
export function remoteSession(edge: Edge, info: ModelInfo, session?: EdgeSession): HostSession {
  let current = session;
  /** the edge may have stored more than was heard of: what ended without its end. */
  let unsure = false;
  const ensure = async (): Promise<string> => {
    current ??= await edge.createSession(info.id);
    return current.id;
  };
  /** One whose latest state is what was heard of last. */
  const settled = async (): Promise<string> => {
    const id = await ensure();
    if (!unsure) return id;
    current = await edge.forkSession(id, current!.snapshot);
    unsure = false;
    return current.id;
  };
  const become = (next: EdgeSession): void => {
    current = next;
    unsure = false;
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
      let result: GenerationResult;
      try {
        result = yield* remoteGeneration(edge.stream(path(id), body, signal), signal, (event) => {
          const { usage } = event;
          if (event.session === undefined || event.snapshot === undefined || usage == null) return;
          const length = usage.prompt_tokens + usage.completion_tokens;
          stored = { id: event.session, tokens: length, snapshot: event.snapshot };
        });
      } finally {
        if (stored !== undefined) become(stored);
        else if (snapshot !== null) unsure = true;
        else {
          // One that had come to its end unnoticed would have moved the session on.
          current = undefined;
          edge.removeSession(id).catch(() => {});
        }
      }
      if (result.finishReason !== "cancelled") return result;
      const nothing = { ...result, promptTokens: tokens, completionTokens: 0 };
      if (result.completionTokens === 0 || text + result.text === "") return nothing;
      // The edge keeps nothing of a stream that is broken off. It is asked once more for what came of it, with the same draws; a text in a
      // format, which would be closed within so many tokens, is given to it.
      const { response_format: format, ...plain } = body as typeof body & { readonly response_format?: unknown };
      const json =
        format === undefined
          ? { ...body, max_tokens: result.completionTokens, seed: result.seed }
          : { ...plain, text: text + result.text, max_tokens: 0, seed: result.seed };
      try {
        const reply = await edge.request("POST", path(await ensure()), { json });
        const { session: kept, snapshot: latest, usage } = (await reply.json()) as Kept;
        const length = usage.prompt_tokens + usage.completion_tokens;
        become({ id: kept, tokens: length, snapshot: latest });
        // Told as a text, it may have other tokens.
        const promptTokens = Math.min(result.promptTokens, length);
        return { ...result, promptTokens, completionTokens: length - promptTokens };
      } catch (cause) {
        throw new EdgeError(
          `what was written until the stop could not be kept, the session is as it was before: ${(cause as Error).message}`,
          cause instanceof EdgeError ? cause.status : undefined,
        );
      }
    },
    async fork() {
      return remoteSession(edge, info, current && (await edge.forkSession(current.id, current.snapshot)));
    },
    async save() {
      return edge.readState(await settled());
    },
    async restore(bytes) {
      const target = await ensure();
      await edge.writeState(target, bytes);
      become(await edge.readSession(target));
    },
    async push(target) {
      if (target === undefined) return (await edge.forkSession(await settled())).id;
      await edge.writeState(target, await edge.readState(await settled()));
      return target;
    },
    // A session of another place goes on there: this one is a copy.
    pull: async (id) => become(await edge.forkSession(id)),
    dispose() {},
  };
}
