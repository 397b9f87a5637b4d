import { readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { MemoryPackage } from "../weights/memory.ts";
import { folderSink, folderSource } from "../weights/node/folder.ts";
import type { PackageSource } from "../weights/source.ts";
import { isName } from "../weights/validate.ts";
import { convertCheckpoint, outlinePackage } from "../worker/engine/convert.ts";
import { Model } from "../worker/engine/model.ts";
import { countTokens, excerptsOf, inputImportance, perplexityOf } from "./lib/calibrate.ts";
import { ErrorTable } from "./lib/calibrate-table.ts";
import { carryCard } from "./lib/carry-card.ts";
import { choice, progressBar, runCommand, UsageError, wholeNumber } from "./lib/cli.ts";
import { openCheckpoint } from "./lib/open-checkpoint.ts";
import { openBackend, QUANTIZATIONS } from "./lib/open-model.ts";
import { memoryReport } from "./lib/package-memory.ts";
import { checkTokenizer } from "./lib/tokenizer-check.ts";

const help = `npm run convert -- CHECKPOINT --out DIR [--quant f32|q8|q4] [--name NAME] [--calibrate TEXT_FILE [--calibrate-tokens N]]

Turns a checkpoint into a model package that can be served, and says whether it fits a Worker's memory.

CHECKPOINT  a folder with config.json and *.safetensors (Hugging Face or original Mamba layout, in-context models, VMamba) or PyTorch's .pth,
            .pt or .bin, or the file in it; nothing of a PyTorch file is executed. Runs of mambaformer-icl have config.yaml: the error then
            says what to write into config.json
--out DIR   the package's folder, such as weights/models/NAME; an older package there is replaced
--quant     f32, q8 (default) or q4: how matrices are stored; everything else stays f32, and with q4 some matrices stay q8
--name      the model's name, by which requests ask for it (default: the name of --out's folder)
--calibrate a text such as the model will write: q4 then spends its precision where the model's activations on it are large, and
            perplexities before and after are printed, of excerpts that were not calibrated on
--calibrate-tokens  how much of it is looked at (default 2048); the reference backend takes about 0.05 s a token for 31 M weights
`;

await runCommand({
  help,
  options: {
    out: { type: "string" },
    quant: { type: "string" },
    name: { type: "string" },
    calibrate: { type: "string" },
    "calibrate-tokens": { type: "string" },
  },
  positionals: { min: 1, max: 1 },
  async run([path = ""], values) {
    if (typeof values.out !== "string") throw new UsageError("--out is missing: where shall the package go?");
    const quantization = choice("quant", values.quant, QUANTIZATIONS, "q8");
    const name = nameFrom(values.name, values.out);
    const tokens = wholeNumber("calibrate-tokens", values["calibrate-tokens"], 2048);
    for (const option of ["calibrate", "calibrate-tokens"]) {
      if (values[option] === undefined) continue;
      if (quantization !== "q4") throw new UsageError(`--${option} is for --quant q4; ${quantization} needs no text`);
      if (values.calibrate === undefined) throw new UsageError(`--${option} needs --calibrate TEXT_FILE`);
    }
    const checkpoint = await openCheckpoint(path);
    const outline = await outlinePackage(checkpoint, quantization);
    const warning = checkTokenizer(checkpoint.tokenizer, outline);
    if (warning !== undefined) process.stderr.write(`warning: ${warning}\n`);
    const calibration =
      typeof values.calibrate === "string"
        ? await calibrate(checkpoint, name, read(values.calibrate), tokens)
        : undefined;

    const bar = progressBar("converting");
    const table = new ErrorTable(calibration?.importance);
    const sink = await folderSink(values.out);
    try {
      const options = { name, quantization, importance: calibration?.importance };
      const manifest = await convertCheckpoint(
        checkpoint,
        { ...options, onProgress: bar.update, onTensor: table.add },
        sink,
      );
      bar.stop();
      const bytes = manifest.shards.reduce((sum, s) => sum + s.bytes, 0);
      const weights = manifest.tensors.reduce((sum, t) => sum + t.shape.reduce((a, b) => a * b, 1), 0);
      process.stdout.write(
        `${manifest.id}\n${manifest.tensors.length} tensors, ${(weights / 1e6).toFixed(1)} M weights, ${manifest.shards.length} shards, ` +
          `${(bytes / 2 ** 20).toFixed(1)} MiB (${((8 * bytes) / weights).toFixed(2)} bits a weight) in ${values.out}\n${table}`,
      );
      const { carried, kept } = await carryCard(path, values.out);
      if (carried.length > 0) process.stdout.write(`with ${carried.join(" and ")} of the checkpoint\n`);
      if (kept.length > 0) {
        const [verb, they] = kept.length === 1 ? ["was", "it is"] : ["were", "they are"];
        process.stdout.write(
          `${kept.join(" and ")} ${verb} there before and stayed: look whether ${they} this model's\n`,
        );
      }
    } finally {
      bar.stop();
    }
    if (calibration !== undefined) {
      const { heldOut } = calibration;
      const plain = new MemoryPackage();
      await convertCheckpoint(checkpoint, { name, quantization, search: false }, plain);
      const before = await perplexityOf(await loadOnWasm(plain), heldOut);
      const after = await perplexityOf(await loadOnWasm(folderSource(values.out)), heldOut);
      process.stdout.write(
        `perplexity of ${countTokens(heldOut)} tokens not calibrated on: f32 ${calibration.perplexity.toFixed(3)}, ` +
          `scales from the largest weights ${before.toFixed(3)}, this package ${after.toFixed(3)}\n`,
      );
    }
    process.stdout.write(
      await memoryReport({ ...outline, quantization }, (other) => outlinePackage(checkpoint, other)),
    );
  },
});

/** @throws UsageError when no model can be called so */
function nameFrom(given: string | boolean | undefined, out: string): string {
  const name = typeof given === "string" ? given : basename(resolve(out));
  if (isName(name)) return name;
  const [what, remedy] =
    given === undefined
      ? [`the folder of --out is called "${name}", and its model would be too`, "choose another folder, or give --name"]
      : [`--name is "${name}"`, "choose another"];
  throw new UsageError(
    `${what}: a model's name is 1 to 64 letters, digits, dots, dashes and underscores and begins with a letter or digit; ${remedy}`,
  );
}

interface Calibration {
  readonly importance: ReadonlyMap<string, Float64Array>;
  readonly heldOut: readonly number[][];
  /** of the f32 model on what is held out. */
  readonly perplexity: number;
}

async function calibrate(checkpoint: Checkpoint, name: string, text: string, tokens: number): Promise<Calibration> {
  const f32 = new MemoryPackage();
  await convertCheckpoint(checkpoint, { name, quantization: "f32" }, f32);
  const model = await loadOnWasm(f32);
  const { calibration, heldOut } = excerptsOf(text, model.requireTokenizer(), tokens);
  const perplexity = await perplexityOf(model, heldOut);
  const bar = progressBar("calibrating");
  try {
    return { heldOut, perplexity, importance: await inputImportance(f32, calibration, bar.update) };
  } finally {
    bar.stop();
  }
}

async function loadOnWasm(source: PackageSource): Promise<Model> {
  return Model.load(source, await openBackend("wasm"), { memoryBudget: Infinity });
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read --calibrate: ${(error as Error).message}`);
  }
}
