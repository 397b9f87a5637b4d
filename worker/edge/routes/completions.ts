import { OpenAPIHono } from "@hono/zod-openapi";
import type { AppEnv } from "../env.ts";
import { respondCompletion } from "../generation/respond-completion.ts";
import { startCompletion } from "../generation/start-completion.ts";
import { badValue } from "../http/api-error.ts";
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
    refuseContradictions(body);
    const entry = await catalog.find(c.env, body.model ?? undefined, "text");
    const generation = await startCompletion(c.env, pool, {
      entry,
      body,
      owner: c.get("owner"),
      signal: c.req.raw.signal,
      record: c.get("record"),
    });
    return respondCompletion(c, generation, {
      stream: body.stream === true,
      includeUsage: body.stream_options?.include_usage === true,
      usageSoFar: body.stream_options?.continuous_usage_stats === true,
    });
  });
  app.all("/completions", methodNotAllowed("POST"));
  return app;
}

function refuseContradictions({ n, best_of, stream }: CompletionRequest): void {
  if (best_of == null) return;
  const choices = n ?? 1;
  if (best_of < choices)
    throw badValue("best_of", `best_of is ${best_of}, less than n, which is ${choices}: ask for as many or more`);
  if (stream === true && best_of > choices) {
    throw badValue(
      "best_of",
      `best_of is ${best_of} with stream: which choices are the best shows at their end, leave one of them out`,
    );
  }
}
