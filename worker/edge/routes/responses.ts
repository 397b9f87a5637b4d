import { OpenAPIHono } from "@hono/zod-openapi";
import { type AppEnv, limitsOf } from "../env.ts";
import { requestedTextFormat } from "../generation/requested-format.ts";
import { respondResponse } from "../generation/respond-response.ts";
import { conversationItems, inputItems, messageOf } from "../generation/response-input.ts";
import { startChat } from "../generation/start-chat.ts";
import { badValue } from "../http/api-error.ts";
import { readJson } from "../http/body.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { newResponseId, readPrevious, storeResponse } from "../responses/responses.ts";
import type { ChatRequest } from "../schemas/chat.ts";
import { ErrorReply, errorReplies, json } from "../schemas/common.ts";
import { ResponseObject } from "../schemas/response.ts";
import { ResponseRequest, SAMPLING_FIELDS } from "../schemas/response-request.ts";
import type { Services } from "../services.ts";

/**
 * OpenAI's responses. One that goes on from a stored one costs what is new: its state was stored with it.
 *
 * @example
 * curl localhost:8787/v1/responses -d '{"input":"Tell me a story."}'
 */
export function responsesRoutes({ catalog, pool }: Services): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/responses",
    summary: "Reply to a message, or to a stored response",
    request: { body: { required: true, content: { "application/json": { schema: ResponseRequest } } } },
    responses: {
      200: json(ResponseObject, "The response; with stream, its events"),
      ...errorReplies,
      404: json(ErrorReply, "No such model, or no such previous response"),
    },
  });

  app.post("/responses", async (c) => {
    const body = await readJson(c.req.raw, ResponseRequest);
    const limits = limitsOf(c.env);
    const logprobs = body.include?.includes("message.output_text.logprobs") === true;
    refuseContradictions(body, logprobs, limits.prefixStore);
    const owner = c.get("owner");
    const previous = body.previous_response_id ?? undefined;
    const past = previous === undefined ? [] : await readPrevious(c.env, owner, previous);
    const entry = await catalog.find(c.env, body.model ?? past.at(-1)?.reply.model, "text");
    const store = limits.prefixStore && body.store !== false;
    const input = inputItems(body.input);
    const messages = [...conversationItems(past), ...input].map(messageOf);
    const generation = await startChat(c.env, pool, {
      entry,
      body: { ...chatFields(body, messages), store, logprobs },
      format: requestedTextFormat(body.text?.format),
      names: { messages: "input", maxTokens: "max_output_tokens" },
      find: previous !== undefined,
      replyTtl: limits.responseTtl,
      owner,
      signal: c.req.raw.signal,
      record: c.get("record"),
    });
    const begun = beginning(body, newResponseId(previous), entry.id, store);
    return respondResponse(c, generation, {
      begun,
      stream: body.stream === true,
      logprobs,
      store: store ? (reply, states) => storeResponse(c.env, owner, { reply, input }, states) : undefined,
    });
  });
  app.all("/responses", methodNotAllowed("POST"));
  return app;
}

function refuseContradictions(body: ResponseRequest, logprobs: boolean, keeps: boolean): void {
  if (body.top_logprobs != null && body.top_logprobs > 0 && !logprobs) {
    throw badValue(
      "top_logprobs",
      `top_logprobs is ${body.top_logprobs} without log-probabilities: send include: ["message.output_text.logprobs"] with it`,
    );
  }
  if (body.store === true && !keeps) {
    throw badValue(
      "store",
      "store is true, and nothing is kept here (PREFIX_STORE is off, or the key is publishable): leave it out, and send conversations whole",
    );
  }
}

/** The request as the chat that it is. */
function chatFields(body: ResponseRequest, past: ChatRequest["messages"]): ChatRequest {
  const { instructions, max_output_tokens, top_logprobs } = body;
  const sampling = Object.fromEntries(SAMPLING_FIELDS.map((name) => [name, body[name]]));
  const messages = instructions == null ? past : [{ role: "system" as const, content: instructions }, ...past];
  return { ...sampling, messages, max_tokens: max_output_tokens, top_logprobs };
}

/** The response as it begins. */
function beginning(body: ResponseRequest, id: string, model: string, store: boolean): ResponseObject {
  return {
    id,
    object: "response",
    created_at: Math.floor(Date.now() / 1000),
    completed_at: null,
    status: "in_progress",
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    model,
    output: [],
    previous_response_id: body.previous_response_id ?? null,
    store,
    temperature: body.temperature ?? 1,
    top_p: body.top_p ?? 1,
    max_output_tokens: body.max_output_tokens ?? null,
    top_logprobs: body.top_logprobs ?? 0,
    text: { format: body.text?.format ?? { type: "text" } },
    truncation: body.truncation ?? "disabled",
    metadata: body.metadata ?? {},
    user: body.user ?? null,
    safety_identifier: body.safety_identifier ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    service_tier: "default",
    background: false,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    max_tool_calls: body.max_tool_calls ?? null,
    tools: [],
    tool_choice: body.tool_choice ?? "auto",
    reasoning: { effort: body.reasoning?.effort ?? null, summary: null },
    usage: null,
  };
}
