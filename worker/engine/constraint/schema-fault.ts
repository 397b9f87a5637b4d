import { ParameterError } from "../errors.ts";

/** What is wrong with a keyword of a schema, by its path in the request: `${path}.${keyword} is ${what}`. */
export function fault(path: string, keyword: string, what: string): ParameterError {
  const at = keyword === "" ? path : join(path, keyword);
  return new ParameterError(`${at} is ${what}`, at);
}

/** The path of what is below. */
export function join(path: string, ...keys: (string | number)[]): string {
  return keys.reduce<string>((at, key) => (typeof key === "number" ? `${at}[${key}]` : `${at}.${key}`), path);
}
