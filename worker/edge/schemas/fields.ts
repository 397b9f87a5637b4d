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
export function only<T extends number | boolean | string>(value: T, why: string) {
  const description = `Only ${JSON.stringify(value)}: ${why}.`;
  return z
    .literal(value, { error: `${JSON.stringify(value)}: ${why}` })
    .nullish()
    .openapi({ description });
}

/** A field of OpenAI's that is not supported: clients may say that they leave it out. */
export function absent(why: string) {
  return z
    .null({ error: `null: ${why}, leave it out` })
    .optional()
    .openapi({ description: `To be left out: ${why}.` });
}

/** A list that has to be empty, or left out. */
export function emptyList(why?: string) {
  const error = why === undefined ? "an empty list" : `an empty list: ${why}, leave it out`;
  const description = why === undefined ? "Empty." : `Empty: ${why}.`;
  return z.array(z.unknown(), { error }).max(0, { error }).nullish().openapi({ description });
}

/** Why a request may have no tools but none. */
export const NO_TOOLS = "no tools are called here";

/** Which tool is to be called: where there are none, what clients say of that. */
export const toolChoice = z
  .enum(["auto", "none"], { error: `"auto" or "none": ${NO_TOOLS}` })
  .nullish()
  .openapi({ description: `Without effect: ${NO_TOOLS}.` });

/** What the description of a field says that cannot change the text. */
export const NOT_USED = { description: "Accepted, not used: it cannot change the text." };
