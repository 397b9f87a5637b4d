import type { OutputFormat } from "../../engine/constraint/output-format.ts";
import { badValue } from "../http/api-error.ts";
import type { FormatFields, TextFormat } from "../schemas/format.ts";

/** A format that a text must have, and the field that asked for it. */
export interface RequestedFormat {
  readonly format: OutputFormat;
  readonly param: string;
}

/**
 * The format that a request's fields ask for; undefined for plain text.
 * @throws ApiError 400 when they ask for two
 */
export function requestedFormat({ response_format: format, grammar }: FormatFields): RequestedFormat | undefined {
  const plain = format == null || format.type === "text";
  if (grammar != null) {
    if (!plain) throw badValue("grammar", "grammar and response_format are both given: send one of them");
    return { format: { type: "grammar", grammar }, param: "grammar" };
  }
  if (plain) return undefined;
  if (format.type === "json_object") return { format: { type: "json_object" }, param: "response_format" };
  const schema = format.json_schema.schema ?? {};
  return { format: { type: "json_schema", schema }, param: "response_format.json_schema.schema" };
}

/** The same of the Responses API's text.format. */
export function requestedTextFormat(format: TextFormat | null | undefined): RequestedFormat | undefined {
  if (format == null || format.type === "text") return undefined;
  if (format.type === "json_object") return { format: { type: "json_object" }, param: "text.format" };
  return { format: { type: "json_schema", schema: format.schema ?? {} }, param: "text.format.schema" };
}
