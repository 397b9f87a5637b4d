import { readFileSync } from "node:fs";
import type { ChatMessage } from "../worker/engine/chat.ts";
import type { Model } from "../worker/engine/model.ts";
import { choice, progressBar, runCommand, UsageError, wholeNumber } from "./lib/cli.ts";
import { BACKENDS, withModel } from "./lib/open-model.ts";
import { countEndings, talk } from "./lib/samples/dialogues.ts";
import { checkLoops } from "./lib/samples/loops.ts";
import { SAMPLING, write } from "./lib/samples/writer.ts";
import { documentsOf } from "./lib/score.ts";

const help = `npm run samples -- DIR --text FILE [--dialogues FILE] [--backend wasm|reference|webgpu] [--loop N] [--replies N]

What a model writes, for its card, in Markdown on stdout: the first 12 words of the first ten documents of --text continued with seeds
0 to 9; ten dialogues from fixed openings; whether a long sampled text falls into a loop; and how many replies end by themselves.

DIR          a package or a checkpoint folder
--text       documents separated by <|endoftext|>
--dialogues  lines of {"messages": [{role, content}]}: real dialogues to reply to
--loop       tokens of the long text (default 20000)
--replies    how many dialogues to reply to (default 200)
`;

const WORDS = 12;
const CONTINUATION_TOKENS = 100;

await runCommand({
  help,
  options: {
    text: { type: "string" },
    dialogues: { type: "string" },
    backend: { type: "string" },
    loop: { type: "string" },
    replies: { type: "string" },
  },
  positionals: { min: 1, max: 1 },
  async run([path = ""], values) {
    const documents = documentsOf(read("text", values.text)).slice(0, 10);
    if (documents.length === 0) throw new UsageError(`${values.text} holds no text`);
    const backend = choice("backend", values.backend, BACKENDS, "wasm");
    const loop = wholeNumber("loop", values.loop, 20_000);
    const replies = wholeNumber("replies", values.replies, 200);
    const dialogues =
      values.dialogues === undefined ? [] : dialoguesOf(read("dialogues", values.dialogues)).slice(0, replies);
    await withModel(path, { backend }, (model) => report(model, { documents, dialogues, loop }));
  },
});

interface Report {
  readonly documents: readonly string[];
  readonly dialogues: readonly ChatMessage[][];
  /** tokens of the long text. */
  readonly loop: number;
}

async function report(model: Model, { documents, dialogues, loop }: Report): Promise<void> {
  const out = (text: string): void => void process.stdout.write(`${text}\n\n`);

  out(`${model.manifest.id}; ${settings(SAMPLING)}.`);
  out("## Continuations");
  await continuations(model, documents, out);
  if (model.chatTemplate !== undefined) {
    out("## Dialogues");
    for (const messages of await talk(model)) {
      out(
        messages
          .map(({ role, content }) => `**${role}:** ${content}`)
          .join("\n\n")
          .replace(/^/gm, "> "),
      );
    }
  }
  out("## Measured");
  const prompt = documents[0]!.split(/\s+/, WORDS).join(" ");
  for (const sampling of [{ temperature: 1 }, SAMPLING]) {
    const { tokens, first, last, span } = await checkLoops(model, prompt, loop, 0, sampling);
    out(
      `- ${tokens} tokens sampled in one text, ${settings(sampling)}: ${first} distinct 4-grams in its first ${span} tokens, ${last} in its last ${span} (${(last / first).toFixed(2)} of the first).`,
    );
  }
  if (dialogues.length > 0) {
    const bar = progressBar("replying");
    const endings = await countEndings(model, dialogues, bar.update).finally(() => bar.stop());
    out(
      `- ${endings.ended} of ${endings.replies} replies ended by themselves within 200 tokens (${((100 * endings.ended) / endings.replies).toFixed(1)} %); ${endings.meanTokens.toFixed(1)} tokens on average.`,
    );
  }
}

async function continuations(model: Model, documents: readonly string[], out: (text: string) => void): Promise<void> {
  const tokenizer = model.requireTokenizer();
  for (const [seed, document] of documents.entries()) {
    const beginning = document.split(/\s+/, WORDS).join(" ");
    const { text } = await write(model, tokenizer.encode(beginning), { seed, maxTokens: CONTINUATION_TOKENS });
    out(`${seed}. **${beginning}**${text.replaceAll(/\n+/g, "\n   ")}`);
  }
}

function dialoguesOf(text: string): ChatMessage[][] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line, i) => {
      try {
        return (JSON.parse(line) as { messages: ChatMessage[] }).messages;
      } catch (error) {
        throw new UsageError(`--dialogues, line ${i + 1}: not JSON (${(error as Error).message})`);
      }
    });
}

function read(option: string, file: string | boolean | undefined): string {
  if (typeof file !== "string") throw new UsageError(`--${option} is missing: which file?`);
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read --${option}: ${(error as Error).message}`);
  }
}

function settings(sampling: object): string {
  return Object.entries(sampling)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}
