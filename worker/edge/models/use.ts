import { inputOf } from "../../engine/architectures/index.ts";
import { noExamples } from "../../engine/in-context.ts";
import { badValue } from "../http/api-error.ts";
import type { IndexEntry } from "./index-file.ts";

/** What a request wants of a model. A session is of text or of examples. */
export type Use = "text" | "examples" | "images" | "session";

/** Whether a model can be asked so. An index made before tokenizers were listed does not say who has none. */
export function serves({ architecture, tokenizer, interleave }: IndexEntry, use: Use): boolean {
  const input = inputOf(architecture);
  if (use === "images") return input === "images";
  const text = input === "tokens" && tokenizer !== false;
  const examples = input === "vectors" && interleave !== false;
  if (use === "session") return text || examples;
  return use === "text" ? text : examples;
}

/**
 * @param param the field that named the model, or its session
 * @throws ApiError 400 that says what the model is for, where that is asked, and which models can do what was asked here
 */
export function requireUse(entry: IndexEntry, use: Use, entries: readonly IndexEntry[], param: string): void {
  if (serves(entry, use)) return;
  const others = entries.filter((other) => serves(other, use)).map(({ id }) => id);
  const instead = others.length > 0 ? `; here use ${oneOf(others)}` : "";
  throw badValue(param, `${purpose(entry, use)}${instead}`);
}

/** "one of a, b", or the only one. */
export function oneOf(ids: readonly string[]): string {
  return ids.length === 1 ? ids[0]! : `one of ${ids.join(", ")}`;
}

function purpose(entry: IndexEntry, use: Use): string {
  const { id, name, architecture, tokenizer } = entry;
  const input = inputOf(architecture);
  if (input === "images") return `${id} tells what is in images: ask it through POST /v1/images/classifications`;
  if (input === "vectors") {
    if (use === "examples") return noExamples(entry);
    const how = entry.interleave === false ? `POST /v2/models/${name}/infer` : "POST /v1/icl/predictions";
    return `${id} learns from examples and writes no text: ask it through ${how}`;
  }
  if (tokenizer === false)
    return `${id} has no tokenizer, so it takes and writes no text: give it token ids through POST /v2/models/${name}/infer`;
  return `${id} is a language model: ask it through POST /v1/chat/completions or POST /v1/completions`;
}
