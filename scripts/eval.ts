import { readFileSync } from "node:fs";
import { inputOf } from "../worker/engine/architectures/index.ts";
import type { Model } from "../worker/engine/model.ts";
import { choice, progressBar, runCommand, UsageError, wholeNumber } from "./lib/cli.ts";
import { BACKENDS, QUANTIZATIONS, withModel } from "./lib/open-model.ts";
import { bitsPerByte, documentsOf, perplexity, score } from "./lib/score.ts";

const help = `npm run eval -- DIR --text FILE [--backend reference|wasm|webgpu] [--quant f32|q8|q4] [--window N] [--limit N] [--json]

Perplexity and bits per byte of a language model with a tokenizer on a text file, whose documents are separated by <|endoftext|>.
For image models there is npm run eval:images, for in-context models npm run eval:icl.

DIR        a package, a checkpoint folder, or a checkpoint file beside its config.json
--text     the file
--backend  wasm (default), reference, or webgpu: headless Chromium, on the CPU (slow)
--quant    f32, q8 or q4; default f32 for a checkpoint, a package's own for a package
--window   restart from an empty state every N tokens (default: carry the state through each document)
--limit    score the first N tokens only
--json     print one JSON object
`;

await runCommand({
  help,
  options: {
    text: { type: "string" },
    backend: { type: "string" },
    quant: { type: "string" },
    window: { type: "string" },
    limit: { type: "string" },
    json: { type: "boolean" },
  },
  positionals: { min: 1, max: 1 },
  async run([path = ""], values) {
    if (typeof values.text !== "string") throw new UsageError("--text is missing: which file shall be scored?");
    const backend = choice("backend", values.backend, BACKENDS, "wasm");
    const quantization = values.quant === undefined ? undefined : choice("quant", values.quant, QUANTIZATIONS, "f32");
    const window = values.window === undefined ? undefined : wholeNumber("window", values.window, 1);
    const limit = values.limit === undefined ? undefined : wholeNumber("limit", values.limit, 1);
    const documents = documentsOf(read(values.text));
    if (documents.length === 0) throw new UsageError(`${values.text} holds no text`);
    const { id, result } = await withModel(path, { backend, quantization }, async (model) => {
      checkTakesText(model);
      const bar = progressBar("scoring");
      const result = await score(model, documents, { window, limit, onProgress: bar.update }).finally(() => bar.stop());
      return { id: model.manifest.id, result };
    });
    const row = {
      model: id,
      backend,
      text: values.text,
      window: window ?? null,
      ...result,
      perplexity: perplexity(result),
      bits_per_byte: bitsPerByte(result),
    };
    if (values.json === true) {
      process.stdout.write(`${JSON.stringify(row)}\n`);
      return;
    }
    process.stdout.write(
      `${row.model} on ${row.text}${window === undefined ? "" : `, window ${window}`}: ${row.documents} documents, ${row.tokens} tokens, ${row.bytes} bytes\n` +
        `perplexity ${row.perplexity.toFixed(4)}, bits per byte ${row.bits_per_byte.toFixed(5)}\n`,
    );
  },
});

/** @throws UsageError that names the command for the model */
function checkTakesText({ tokenizer, manifest: { id, architecture } }: Model): void {
  if (tokenizer !== undefined) return;
  const input = inputOf(architecture);
  const use =
    input === "images"
      ? "use npm run eval:images for image models"
      : input === "vectors"
        ? "use npm run eval:icl for in-context models"
        : "put tokenizer.json beside the checkpoint, and convert it again";
  throw new UsageError(`${id} has no tokenizer, so it cannot be scored on a text: ${use}`);
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read --text: ${(error as Error).message}`);
  }
}
