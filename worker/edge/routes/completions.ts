import { OpenAPIHono } from "@hono/zod-openapi";
import type { AppEnv } from "../env.ts";
import { respond } from "../generation/respond.ts";
import { startGeneration } from "../generation/start-generation.ts";
import { readJson } from "../http/body.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { errorReplies, json } from "../schemas/common.ts";
import { Completion, CompletionRequest } from "../schemas/completion.ts";
import type { Services } from "../services.ts";

/**
 * OpenAI's legacy completions.
 *
 * @example
 * curl localhost:8787/v1/completions -d '{"prompt":"Once upon a time","max_tokens":32}'
 */
export function completionsRoutes({ catalog, pool }: Services): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/completions",
    summary: "Generate text from a prompt",
    request: { body: { required: true, content: { "application/json": { schema: CompletionRequest } } } },
    responses: { 200: json(Completion, "The completion; with stream, server-sent events of chunks"), ...errorReplies },
  });

  app.post("/completions", async (c) => {
    const body = await readJson(c.req.raw, CompletionRequest);
    const entry = await catalog.find(c.env, body.model ?? undefined);
    const generation = await startGeneration(c.env, pool, {
      entry,
      prompt: onePrompt(body.prompt),
      param: "prompt",
      fields: body,
      keepHeld: false,
      signal: c.req.raw.signal,
      reuse: body.store === false ? undefined : { owner: c.get("owner") },
      record: c.get("record"),
    });
    return respond(c, generation, {
      stream: body.stream === true,
      includeUsage: body.stream_options?.include_usage === true,
    });
  });
  app.all("/completions", methodNotAllowed("POST"));
  return app;
}

/** A list of one text is that text. */
function onePrompt(prompt: CompletionRequest["prompt"]): string | readonly number[] {
  if (typeof prompt === "string") return prompt;
  const [first] = prompt;
  return typeof first === "string" ? first : (prompt as number[]);
}
