import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { badValue } from "../http/api-error.ts";
import { show } from "../http/show.ts";

const MOST = 100;
const DEFAULT = 20;

/** A page of a list, as OpenAI's clients read it. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({
    object: z.literal("list"),
    data: z.array(item),
    first_id: z.string().nullable(),
    last_id: z.string().nullable().openapi({ description: "after of the next page." }),
    has_more: z.boolean(),
  });
}

/** What a page is asked for with, in the query. */
export const pageParameters = z.object({
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(MOST)
    .optional()
    .openapi({ description: "How many, at most.", default: DEFAULT }),
  after: z.string().optional().openapi({ description: "The id that the page begins after." }),
  order: z
    .enum(["asc", "desc"])
    .optional()
    .openapi({ description: "By time; desc has the newest first.", default: "desc" }),
});

export interface PageQuery {
  readonly limit: number;
  readonly after: string | undefined;
  readonly order: "asc" | "desc";
}

/**
 * @param id what an id looks like
 * @throws ApiError 400
 */
export function pageQuery(c: Context, id: RegExp): PageQuery {
  const { limit = String(DEFAULT), after, order = "desc" } = c.req.query();
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > MOST) {
    throw badValue("limit", `limit is ${show(limit)}: it must be an integer from 1 to ${MOST}`);
  }
  if (after !== undefined && !id.test(after)) {
    throw badValue("after", `after is ${show(after)}: it must be an id of this list`);
  }
  if (order !== "asc" && order !== "desc") {
    throw badValue("order", `order is ${show(order)}: it must be asc or desc`);
  }
  return { limit: Number(limit), after, order };
}
