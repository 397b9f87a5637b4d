/** The chat template of a checkpoint folder. For Node only. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";

/** What templates call the special tokens that tokenizer_config.json names. */
const NAMED_TOKENS = ["bos_token", "eos_token", "pad_token", "unk_token"];

/**
 * chat_template.jinja, or chat_template of tokenizer_config.json. Where the template speaks of bos_token and the like, what
 * tokenizer_config.json says of them is set in its first line, so that a package needs no other file.
 * @param files names of what is in the folder
 * @throws CheckpointError when tokenizer_config.json is not JSON
 */
export async function readChatTemplate(folder: string, files: readonly string[]): Promise<Uint8Array | undefined> {
  const config = files.includes("tokenizer_config.json") ? await readConfig(join(folder, "tokenizer_config.json")) : {};
  const template = files.includes("chat_template.jinja")
    ? await readFile(join(folder, "chat_template.jinja"), "utf8")
    : defaultOf(config.chat_template);
  if (template === undefined || template === "") return undefined;
  const set = NAMED_TOKENS.filter((name) => template.includes(name)).flatMap((name) => {
    const spelling = spellingOf(config[name]);
    return spelling === undefined ? [] : [`set ${name} = ${JSON.stringify(spelling)}`];
  });
  const preamble = set.map((statement) => `{%- ${statement} -%}\n`).join("");
  return new TextEncoder().encode(preamble + template);
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  try {
    return JSON.parse(await readFile(path, "utf8")) ?? {};
  } catch (cause) {
    throw new CheckpointError(`${path}: not JSON (${(cause as Error).message}); download it again`, { cause });
  }
}

/** A template, or of several the one called "default". */
function defaultOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.find((entry) => entry?.name === "default")?.template;
  return typeof named === "string" ? named : undefined;
}

/** Special tokens are written as a text or as {content, …}. */
function spellingOf(value: unknown): string | undefined {
  const spelling = typeof value === "object" && value !== null && "content" in value ? value.content : value;
  return typeof spelling === "string" ? spelling : undefined;
}
