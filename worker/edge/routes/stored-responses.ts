import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { AppEnv } from "../env.ts";
import { createResponseEvents } from "../generation/response-events.ts";
import { conversationItems } from "../generation/response-input.ts";
import { badValue } from "../http/api-error.ts";
import { eventStream } from "../http/event-stream.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { show } from "../http/show.ts";
import { deleteResponse, readConversation, readResponse } from "../responses/responses.ts";
import { ErrorReply, errorReplies, json } from "../schemas/common.ts";
import { pageParameters, pageQuery } from "../schemas/page.ts";
import { DeletedResponse, InputItemList, ResponseObject } from "../schemas/response.ts";

const ITEM_ID = /^msg_[0-9a-f]{24}$/;
const params = z.object({ id: z.string() });
const notFound = { 404: json(ErrorReply, "No such response") };

/**
 * Stored responses: read, deleted, and what they were made from.
 *
 * @example
 * curl localhost:8787/v1/responses/$ID
 */
export function storedResponsesRoutes(): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/responses/{id}",
    summary: "A stored response",
    request: {
      params,
      query: z.object({
        stream: z
          .enum(["true", "false"])
          .optional()
          .openapi({ description: "true gives it as server-sent events.", default: "false" }),
      }),
    },
    responses: { 200: json(ResponseObject, "The response; with stream, its events"), ...errorReplies, ...notFound },
  });
  app.openAPIRegistry.registerPath({
    method: "delete",
    path: "/responses/{id}",
    summary: "Delete a stored response and its states",
    request: { params },
    responses: { 200: json(DeletedResponse, "It is gone"), ...errorReplies, ...notFound },
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/responses/{id}/input_items",
    summary: "The messages that a response was made from, those of the responses before it included",
    request: { params, query: pageParameters },
    responses: { 200: json(InputItemList, "A page of them"), ...errorReplies, ...notFound },
  });

  app.get("/responses/:id", async (c) => {
    const { stream = "false", starting_after: after } = c.req.query();
    if (stream !== "true" && stream !== "false") {
      throw badValue("stream", `stream is ${show(stream)}: it must be true or false`);
    }
    if (after !== undefined) {
      throw badValue(
        "starting_after",
        "starting_after is not supported: a stored response is streamed from its beginning",
      );
    }
    const { reply } = await readResponse(c.env, c.get("owner"), c.req.param("id"));
    if (stream === "false") return c.json(reply);
    const { response, done } = replay(c, reply);
    c.executionCtx.waitUntil(done);
    return response;
  });

  app.delete("/responses/:id", async (c) => {
    const id = c.req.param("id");
    await deleteResponse(c.env, c.get("owner"), id);
    return c.json({ id, object: "response", deleted: true } satisfies DeletedResponse);
  });

  app.get("/responses/:id/input_items", async (c) => {
    const { limit, after, order } = pageQuery(c, ITEM_ID);
    const past = await readConversation(c.env, c.get("owner"), c.req.param("id"));
    const own = past.at(-1)!;
    const items = [...conversationItems(past.slice(0, -1)), ...own.input];
    if (order === "desc") items.reverse();
    const start = after === undefined ? 0 : items.findIndex(({ id }) => id === after) + 1;
    if (after !== undefined && start === 0) {
      throw badValue("after", `after is ${show(after)}: it is no input item of this response`);
    }
    const data = items.slice(start, start + limit);
    const page: InputItemList = {
      object: "list",
      data,
      first_id: data[0]?.id ?? null,
      last_id: data.at(-1)?.id ?? null,
      has_more: start + limit < items.length,
    };
    return c.json(page);
  });
  app.all("/responses/:id", methodNotAllowed("GET, DELETE"));
  app.all("/responses/:id/input_items", methodNotAllowed("GET"));
  return app;
}

/** The events of a response that is complete, its text in one piece. */
function replay(c: Context<AppEnv>, reply: ResponseObject): ReturnType<typeof eventStream> {
  const [item] = reply.output;
  const { text = "", logprobs = [] } = item?.content[0] ?? {};
  const begun: ResponseObject = {
    ...reply,
    status: "in_progress",
    completed_at: null,
    incomplete_details: null,
    output: [],
    usage: null,
  };
  const events = createResponseEvents(begun, item?.id ?? "");
  return eventStream(
    c,
    async (send) => {
      for (const event of [...events.begin(), events.delta(text, logprobs), ...events.end(reply)]) await send(event);
    },
    events,
  );
}
