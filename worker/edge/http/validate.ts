import type { z } from "@hono/zod-openapi";
import { ApiError, badValue } from "./api-error.ts";
import { show } from "./show.ts";

/**
 * The value as the schema gives it. The schemas' error texts say what a field must be; this puts the field's name and what was seen in
 * front.
 *
 * @throws ApiError 400 naming the first field that is wrong
 * @example
 * validate(Completion, { prompt: "a", temperature: 3 }); // temperature is 3: it must be a number from 0 to 2
 */
export function validate<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw issue === undefined ? badValue("", "the request is not valid") : describe(inItem(issue), value);
}

/** Of a text or a list of objects: when one of the objects is wrong, what is wrong in it. */
function inItem(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union") return issue;
  const inner = issue.errors.map(([first]) => first).find((first) => first !== undefined && isInItem(first));
  return inner === undefined ? issue : inItem({ ...inner, path: [...issue.path, ...inner.path] });
}

function isInItem({ code, path }: z.core.$ZodIssue): boolean {
  return typeof path[0] === "number" && (path.length > 1 || code === "unrecognized_keys");
}

function describe(issue: z.core.$ZodIssue, value: unknown): ApiError {
  if (issue.code === "unrecognized_keys") {
    const param = nameOf([...issue.path, issue.keys[0] ?? ""]);
    return badValue(
      param,
      `unknown field "${param}": it is not supported here and could change the result; leave it out (GET /openapi.json lists the fields)`,
      "unknown_field",
    );
  }
  const param = nameOf(issue.path);
  if (param === "") {
    return new ApiError({
      code: "invalid_body",
      message: `the body is ${show(value)}: it must be a JSON object`,
    });
  }
  const seen = at(value, issue.path);
  if (seen === undefined) return badValue(param, `${param} is missing: give ${issue.message}`, "missing_field");
  return badValue(param, `${param} is ${show(seen)}: it must be ${issue.message}`);
}

function nameOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, key) => {
    if (typeof key === "number") return `${name}[${key}]`;
    return name === "" ? String(key) : `${name}.${String(key)}`;
  }, "");
}

function at(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((v, key) => (v as Record<PropertyKey, unknown> | null | undefined)?.[key], value);
}
