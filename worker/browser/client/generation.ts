import type { Streams } from "../protocol.ts";
import type { Chunk, Generation, GenerationResult } from "./api.ts";
import type { Channel } from "./channel.ts";

/** Starts a stream and gives its chunks as they come; who leaves the loop, or aborts the signal, ends it. */
export function startGeneration<K extends keyof Streams>(
  channel: Channel,
  stream: K,
  args: Streams[K],
  signal: AbortSignal | undefined,
): Generation {
  const chunks: Chunk[] = [];
  let wake = (): void => {};
  const { id, result } = channel.stream(stream, args, (chunk) => {
    chunks.push(chunk);
    wake();
  });
  const cancel = (): void => channel.cancel(id);
  if (signal?.aborted) cancel();
  else signal?.addEventListener("abort", cancel, { once: true });
  let ended: { error?: unknown } | undefined;
  const settled = result
    .then(
      () => {
        ended = {};
      },
      (error: unknown) => {
        ended = { error };
      },
    )
    .finally(() => {
      signal?.removeEventListener("abort", cancel);
      wake();
    });

  async function* iterate(): AsyncGenerator<Chunk, void> {
    try {
      for (;;) {
        const chunk = chunks.shift();
        if (chunk !== undefined) {
          yield chunk;
          continue;
        }
        if (ended !== undefined) break;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      cancel();
      await settled;
    }
    if (ended !== undefined && "error" in ended) throw ended.error;
  }

  return { result: observed(result), [Symbol.asyncIterator]: () => iterate() };
}

/** What keeps one from beginning is told as all that fails later: by its result, and by the loop over it. */
export function begun(start: () => Generation): Generation {
  try {
    return start();
  } catch (error) {
    const result = observed(Promise.reject(error));
    return {
      result,
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          throw error;
        },
      }),
    };
  }
}

/** Who iterates gets the error there: it is not unhandled because nobody looks at the result too. */
function observed(result: Promise<GenerationResult>): Promise<GenerationResult> {
  result.catch(() => {});
  return result;
}
