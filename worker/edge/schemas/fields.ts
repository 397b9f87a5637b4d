import { z } from "@hono/zod-openapi";

/** A number in a range; JSON's 1e999 and the like are not. The error texts go on after "x is 3: it must be". */
export function number(min: number, max: number, what = `a number from ${min} to ${max}`): z.ZodNumber {
  return z.number({ error: what }).min(min, { error: what }).max(max, { error: what });
}

export function integer(
  min: number,
  max = Number.MAX_SAFE_INTEGER,
  what = max === Number.MAX_SAFE_INTEGER ? `an integer, ${min} or more` : `an integer from ${min} to ${max}`,
): z.ZodNumber {
  return z.number({ error: what }).int({ error: what }).min(min, { error: what }).max(max, { error: what });
}

export const boolean = z.boolean({ error: "true or false" });
export const text = z.string({ error: "a text" });

/** Token ids, at least one. Whether the model has them shows once it is open. */
export const tokenList = z
  .array(integer(0), { error: "a list of token ids" })
  .min(1, { error: "a list of at least one token id" });

/** A field of OpenAI's that has one supported value. */
export function only<T extends number | boolean | string>(value: T, why: string): z.ZodType<T | null | undefined> {
  return z.literal(value, { error: `${JSON.stringify(value)}: ${why}` }).nullish();
}
