import { openCheckpoint } from "../weights/node/checkpoint.ts";
import { folderSink } from "../weights/node/folder.ts";
import { convertCheckpoint } from "../worker/engine/convert.ts";
import { choice, progressBar, runCommand, UsageError } from "./lib/cli.ts";
import { nameOf, QUANTIZATIONS } from "./lib/open-model.ts";

const help = `npm run convert -- CHECKPOINT --out DIR [--quant f32|q8] [--name NAME]

Turns a checkpoint into a model package that can be served.

CHECKPOINT  a folder with config.json and *.safetensors (Hugging Face or original Mamba layout), or the .safetensors file in it
--out DIR   the package's folder, such as weights/models/NAME; an older package there is replaced
--quant     f32 or q8 (default): how matrices are stored; everything else stays f32
--name      the model's name (default: the checkpoint folder's)
`;

await runCommand({
  help,
  options: { out: { type: "string" }, quant: { type: "string" }, name: { type: "string" } },
  positionals: { min: 1, max: 1 },
  async run([path = ""], values) {
    if (typeof values.out !== "string") throw new UsageError("--out is missing: where shall the package go?");
    const quantization = choice("quant", values.quant, QUANTIZATIONS, "q8");
    const name = typeof values.name === "string" ? values.name : nameOf(path);
    const checkpoint = await openCheckpoint(path);
    const bar = progressBar("converting");
    const sink = await folderSink(values.out);
    try {
      const manifest = await convertCheckpoint(checkpoint, { name, quantization, onProgress: bar.update }, sink);
      bar.stop();
      const bytes = manifest.shards.reduce((sum, s) => sum + s.bytes, 0);
      const weights = manifest.tensors.reduce((sum, t) => sum + t.shape.reduce((a, b) => a * b, 1), 0);
      process.stdout.write(
        `${manifest.id}\n${manifest.tensors.length} tensors, ${(weights / 1e6).toFixed(1)} M weights, ${manifest.shards.length} shards, ` +
          `${(bytes / 2 ** 20).toFixed(1)} MiB (${((8 * bytes) / weights).toFixed(2)} bits a weight) in ${values.out}\n`,
      );
    } finally {
      bar.stop();
    }
  },
});
