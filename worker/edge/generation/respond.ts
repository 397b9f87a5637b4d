import type { Context } from "hono";
import type { GeneratedToken, GenerationResult } from "../../engine/generate.ts";
import type { AppEnv } from "../env.ts";
import { eventStream } from "../http/event-stream.ts";
import { toApiError } from "../http/to-api-error.ts";
import type { Completion } from "../schemas/completion.ts";
import type { CutOff } from "./cut-off.ts";
import type { Generation } from "./start-generation.ts";

/** What storing an append adds to its reply. */
export type Stored = Pick<Completion, "session" | "snapshot" | "forked_from">;

export interface RespondOptions {
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** in every chunk of a stream, with the seed. */
  readonly usageSoFar: boolean;
  /** the end of an append: what it throws is the reply. */
  readonly store?: () => Promise<Stored>;
  /** what a client that goes away has had generated is stored too. */
  readonly cut?: CutOff | undefined;
}

/**
 * Runs a generation and replies with its completion object, whole or in chunks. The first piece is computed before a stream begins, so
 * that whatever goes wrong while the model loads still has a status of its own. Closes the generation.
 */
export async function respond(c: Context<AppEnv>, generation: Generation, options: RespondOptions): Promise<Response> {
  const { pieces, logprobs, model } = generation;
  const head = {
    id: `cmpl-${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`,
    object: "text_completion",
    created: Math.floor(Date.now() / 1000),
    model: model.manifest.id,
  } as const;
  const object = (
    text: string,
    tokens: readonly GeneratedToken[],
    finish: GenerationResult["finishReason"] | null,
  ): Completion => ({
    ...head,
    choices: [{ index: 0, text, logprobs: logprobs?.(tokens) ?? null, finish_reason: finish }],
    ...(options.stream && options.includeUsage && { usage: null }),
  });
  const ending = async (
    result: GenerationResult,
  ): Promise<Pick<Completion, "usage" | "timings" | "seed"> & Stored> => ({
    usage: generation.usage(),
    timings: generation.timings(),
    seed: result.seed,
    ...(await options.store?.()),
  });

  if (!options.stream) {
    try {
      let text = "";
      const tokens: GeneratedToken[] = [];
      let next = await pieces.next();
      for (; !next.done; next = await pieces.next()) {
        text += next.value.text;
        tokens.push(...next.value.tokens);
      }
      const { tail, finishReason } = next.value;
      const reply = {
        ...object(text + tail.text, [...tokens, ...tail.tokens], finishReason),
        ...(await ending(next.value)),
      };
      // Of a client that has gone the rest is stored, and nobody reads the reply.
      if (options.cut !== undefined) c.req.raw.signal.throwIfAborted();
      return c.json(reply);
    } finally {
      generation.close();
    }
  }

  /** Of a piece that was just generated: the sequence ends with it. */
  const soFar = (): Pick<Completion, "usage" | "seed"> => {
    const { seed } = generation.sequence;
    return options.usageSoFar ? { usage: generation.usage(), ...(seed !== undefined && { seed }) } : {};
  };
  let first: Awaited<ReturnType<typeof pieces.next>>;
  try {
    first = await pieces.next();
  } catch (error) {
    generation.close();
    throw error;
  }
  const { response, done } = eventStream(c, async (send) => {
    try {
      let next = first;
      for (; !next.done; next = await pieces.next()) {
        const { text, tokens } = next.value;
        await send({ ...object(text, tokens, null), ...soFar() }).catch(async (gone: unknown) => {
          await storeCut();
          throw gone;
        });
      }
      const { tail, finishReason } = next.value;
      // What the reply's end says must be true when it is read: the state is stored before.
      const { usage, ...rest } = await ending(next.value);
      await send({ ...object(tail.text, tail.tokens, finishReason), ...rest, ...(options.usageSoFar && { usage }) });
      if (options.includeUsage) await send({ ...head, choices: [], usage, ...rest });
    } finally {
      generation.close();
    }
  });
  c.executionCtx.waitUntil(done);
  return response;

  /** Nobody is there to be told when it fails: what is unexpected is logged. */
  async function storeCut(): Promise<void> {
    if (options.cut === undefined) return;
    try {
      options.cut.leave();
      for (let left = await pieces.next(); !left.done; ) left = await pieces.next();
      await options.store?.();
    } catch (error) {
      toApiError(error, `${c.req.method} ${c.req.path}`);
    }
  }
}
