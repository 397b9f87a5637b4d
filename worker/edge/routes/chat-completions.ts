import { OpenAPIHono } from "@hono/zod-openapi";
import type { AppEnv } from "../env.ts";
import { requestedFormat } from "../generation/requested-format.ts";
import { respondChat } from "../generation/respond-chat.ts";
import { startChat } from "../generation/start-chat.ts";
import { badValue } from "../http/api-error.ts";
import { readJson } from "../http/body.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { ChatCompletion, ChatRequest } from "../schemas/chat.ts";
import { errorReplies, json } from "../schemas/common.ts";
import type { Services } from "../services.ts";

/**
 * OpenAI's chat completions. A conversation that is sent again with more messages costs what is new.
 *
 * @example
 * curl localhost:8787/v1/chat/completions -d '{"messages":[{"role":"user","content":"Tell me a story."}]}'
 */
export function chatCompletionsRoutes({ catalog, pool }: Services): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/chat/completions",
    summary: "Reply to a conversation",
    request: { body: { required: true, content: { "application/json": { schema: ChatRequest } } } },
    responses: {
      200: json(ChatCompletion, "The reply; with stream, server-sent events of chunks"),
      ...errorReplies,
    },
  });

  app.post("/chat/completions", async (c) => {
    const body = await readJson(c.req.raw, ChatRequest);
    refuseContradictions(body);
    const entry = await catalog.find(c.env, body.model ?? undefined, "text");
    const generation = await startChat(c.env, pool, {
      entry,
      body,
      owner: c.get("owner"),
      signal: c.req.raw.signal,
      format: requestedFormat(body),
      record: c.get("record"),
    });
    return respondChat(c, generation, {
      stream: body.stream === true,
      includeUsage: body.stream_options?.include_usage === true,
      usageSoFar: body.stream_options?.continuous_usage_stats === true,
      logprobs: body.logprobs === true,
    });
  });
  app.all("/chat/completions", methodNotAllowed("POST"));
  return app;
}

function refuseContradictions(body: ChatRequest): void {
  if (body.top_logprobs != null && body.logprobs !== true) {
    throw badValue(
      "top_logprobs",
      `top_logprobs is ${body.top_logprobs} without logprobs: send logprobs: true with it`,
    );
  }
  const [a, b] = [body.max_tokens, body.max_completion_tokens];
  if (a != null && b != null && a !== b) {
    throw badValue(
      "max_tokens",
      `max_tokens is ${a} and max_completion_tokens is ${b}: they are the same, send one of them`,
    );
  }
}
