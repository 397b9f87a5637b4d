import type { Context } from "hono";
import type { GeneratedToken, GenerationResult } from "../../engine/generate.ts";
import type { AppEnv } from "../env.ts";
import { eventStream } from "../http/event-stream.ts";
import type { Completion, Logprobs } from "../schemas/completion.ts";
import type { CompletionGeneration } from "./start-completion.ts";

export interface RespondCompletionOptions {
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** in every chunk of a stream, with the seed. */
  readonly usageSoFar: boolean;
}

type Choice = Completion["choices"][number];

/**
 * Generates the choices of each prompt and replies with them, whole or in chunks. The first piece is computed before a stream begins, so
 * that whatever goes wrong while the model loads still has a status of its own. Closes the generation.
 */
export async function respondCompletion(
  c: Context<AppEnv>,
  generation: CompletionGeneration,
  options: RespondCompletionOptions,
): Promise<Response> {
  const { model, prompts, candidates, choices, seed } = generation;
  const head = {
    id: `cmpl-${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`,
    object: "text_completion",
    created: Math.floor(Date.now() / 1000),
    model: model.manifest.id,
  } as const;

  if (!options.stream) {
    try {
      const given: Choice[] = [];
      for (let prompt = 0; prompt < prompts; prompt++) {
        const made: Candidate[] = [];
        for (let candidate = 0; candidate < candidates; candidate++) {
          made.push(await whole(generation, prompt, candidate));
        }
        if (candidates > choices) made.sort((a, b) => b.score - a.score);
        for (const { choice } of made.slice(0, choices)) given.push({ ...choice, index: given.length });
      }
      return c.json({
        ...head,
        choices: given,
        usage: generation.usage(),
        timings: generation.timings(),
        seed,
      } satisfies Completion);
    } finally {
      generation.close();
    }
  }

  const chunk = (
    index: number,
    text: string,
    logprobs: Logprobs | null,
    finish: Choice["finish_reason"] = null,
  ): Completion => ({
    ...head,
    choices: [{ index, text, logprobs, finish_reason: finish }],
    ...(options.includeUsage && { usage: null }),
  });
  const soFar = (): Pick<Completion, "usage" | "seed"> =>
    options.usageSoFar ? { usage: generation.usage(), seed } : {};
  const begin = async (index: number) => {
    const echo = await generation.begin(Math.floor(index / choices), index % choices);
    const pieces = generation.pieces();
    return { echo, pieces, first: await pieces.next() };
  };
  let next: Awaited<ReturnType<typeof begin>>;
  try {
    next = await begin(0);
  } catch (error) {
    generation.close();
    throw error;
  }
  const count = prompts * choices;
  const { response, done } = eventStream(c, async (send) => {
    try {
      for (let index = 0; index < count; index++) {
        const { echo, pieces, first } = index === 0 ? next : await begin(index);
        const report = generation.logprobs(echo);
        const logprobs = (tokens: readonly GeneratedToken[]): Logprobs | null => report?.(tokens) ?? null;
        if (echo !== undefined) await send(chunk(index, echo.text, logprobs(echo.tokens)));
        let piece = first;
        for (; !piece.done; piece = await pieces.next()) {
          const { text, tokens } = piece.value;
          await send({ ...chunk(index, text, logprobs(tokens)), ...soFar() });
        }
        const { tail, finishReason } = piece.value;
        const last = { ...chunk(index, tail.text, logprobs(tail.tokens), finishReason), ...soFar() };
        await send(index < count - 1 ? last : { ...last, timings: generation.timings(), seed });
      }
      if (options.includeUsage) {
        const usage = generation.usage();
        await send({ ...head, choices: [], usage, timings: generation.timings(), seed } satisfies Completion);
      }
    } finally {
      generation.close();
    }
  });
  c.executionCtx.waitUntil(done);
  return response;
}

interface Candidate {
  readonly choice: Choice;
  /** mean ln p of its tokens. */
  readonly score: number;
}

async function whole(generation: CompletionGeneration, prompt: number, candidate: number): Promise<Candidate> {
  const echo = await generation.begin(prompt, candidate);
  const pieces = generation.pieces();
  let text = echo?.text ?? "";
  const tokens: GeneratedToken[] = [];
  let next: IteratorResult<{ text: string; tokens: readonly GeneratedToken[] }, GenerationResult> = await pieces.next();
  for (; !next.done; next = await pieces.next()) {
    text += next.value.text;
    tokens.push(...next.value.tokens);
  }
  const { tail, finishReason } = next.value;
  tokens.push(...tail.tokens);
  const logprobs = generation.logprobs(echo)?.([...(echo?.tokens ?? []), ...tokens]) ?? null;
  const score = tokens.reduce((sum, { logprob = 0 }) => sum + logprob, 0) / Math.max(1, tokens.length);
  return { choice: { index: 0, text: text + tail.text, logprobs, finish_reason: finishReason }, score };
}
