import type { z } from "@hono/zod-openapi";
import { ApiError, badValue } from "./api-error.ts";
import { knownFields } from "./known-fields.ts";
import { nearName } from "./near-name.ts";
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
  const [issue, ...others] = parsed.error.issues;
  if (issue === undefined) throw badValue("", "the request is not valid");
  const first = inItem(issue);
  const misspelled = others.find((other) => isMeantBy(other, first, value, schema));
  throw describe(misspelled ?? first, value, schema);
}

/** Whether what is missing is there under another name: that is then what is wrong. */
function isMeantBy(unknown: z.core.$ZodIssue, missing: z.core.$ZodIssue, value: unknown, schema: z.ZodType): boolean {
  if (unknown.code !== "unrecognized_keys" || at(value, missing.path) !== undefined) return false;
  const near = nearTo(unknown, value, schema);
  return near !== undefined && nameOf([...unknown.path, near]) === nameOf(missing.path);
}

/** The known field that the first unknown one is near to. One that is sent already is no misspelling of itself. */
function nearTo(
  { path, keys }: z.core.$ZodIssueUnrecognizedKeys,
  value: unknown,
  schema: z.ZodType,
): string | undefined {
  const sent = Object.keys(Object(at(value, path)));
  const known = knownFields(schema, path).filter((name) => !sent.includes(name));
  return nearName(keys[0] ?? "", known);
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

function describe(issue: z.core.$ZodIssue, value: unknown, schema: z.ZodType): ApiError {
  if (issue.code === "unrecognized_keys") {
    const [name = ""] = issue.keys;
    const param = nameOf([...issue.path, name]);
    const near = nearTo(issue, value, schema);
    const what =
      near === undefined
        ? "it is not supported here and could change the result; leave it out"
        : `did you mean ${nameOf([...issue.path, near])}? It is not supported here and could change the result; rename it, or leave it out`;
    return badValue(param, `unknown field "${param}": ${what} (GET /openapi.json lists the fields)`, "unknown_field");
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
