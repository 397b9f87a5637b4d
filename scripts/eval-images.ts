import { existsSync } from "node:fs";
import { join } from "node:path";
import { createWasmBackend } from "../kernels/wasm/index.ts";
import { loadWasmModules } from "../kernels/wasm/node.ts";
import { MANIFEST_FILE } from "../weights/manifest.ts";
import type { Model } from "../worker/engine/model.ts";
import { progressBar, runCommand, UsageError, wholeNumber } from "./lib/cli.ts";
import { nodeImageDecoder } from "./lib/images/decode.ts";
import { type Evaluation, evaluate } from "./lib/images/evaluate.ts";
import { openPhotographs, type Photographs } from "./lib/images/photographs.ts";
import { agreement, type Predictions, readPredictions, worstDistance } from "./lib/images/predictions.ts";
import { openModel } from "./lib/open-model.ts";
import { type Row, table } from "./lib/table.ts";

/** Shares of the pictures of which the same class must be said as by PyTorch in f32, and by the first model in f32. */
const AGREES_WITH_PYTORCH = 0.995;
const AGREES_WITH_F32 = 0.99;

const help = `npm run eval:images -- MODEL [MODEL …] --images DIR [--predictions FILE] [--split NAME] [--limit N] [--json]

What image models say of labelled photographs, in WebAssembly on one thread: top-1, how often they say what PyTorch says in f32 and what the
first model given in f32 says, and images a second. Several models take turns on the same pixels, which the edge's decoders make.

MODEL          a package, or a checkpoint folder: that is evaluated in f32 and in q8
--images       folder of NAME_val.webppack, NAME_val.idx and classes.json (scripts/train/images.py has the form)
--predictions  what the training wrote of the same pictures; default MODEL/predictions.npz where that is there
--split        val (default) or train
--limit        the first N pictures only
--json         print one JSON object

Exits with 1 when an f32 model says the same as PyTorch of less than ${100 * AGREES_WITH_PYTORCH} % of the pictures, or a q8 model the same as the f32 one
of less than ${100 * AGREES_WITH_F32} %.
`;

await runCommand({
  help,
  options: {
    images: { type: "string" },
    predictions: { type: "string" },
    split: { type: "string" },
    limit: { type: "string" },
    json: { type: "boolean" },
  },
  positionals: { min: 1, max: 8 },
  async run(paths, values) {
    if (typeof values.images !== "string") throw new UsageError("--images is missing: where are the photographs?");
    const limit = values.limit === undefined ? undefined : wholeNumber("limit", values.limit, 1);
    const photographs = openPhotographs(values.images, String(values.split ?? "val"), limit);
    const file = predictionsFile(paths, values.predictions);
    const pytorch = file === undefined ? undefined : await readPredictions(file, photographs);
    const models = await openModels(paths);
    const bar = progressBar("looking");
    const result = await evaluate(models, photographs, nodeImageDecoder(), bar.update).finally(() => bar.stop());
    const reports = models.map((model, m) =>
      report(model, result.evaluations[m]!, { photographs, pytorch, f32: f32Of(models, result.evaluations) }),
    );
    const summary = {
      photographs: photographs.name,
      images: photographs.labels.length,
      prepared_per_second: photographs.labels.length / result.preparingSeconds,
      pytorch_top1: pytorch ? top1(pytorch, photographs) : null,
      models: reports,
    };
    process.stdout.write(values.json === true ? `${JSON.stringify(summary)}\n` : text(summary));
    for (const failure of reports.flatMap(shortfalls)) {
      process.stderr.write(`error: ${failure}\n`);
      process.exitCode = 1;
    }
  },
});

function predictionsFile(paths: readonly string[], given: unknown): string | undefined {
  if (typeof given === "string") return given;
  return paths.map((path) => join(path, "predictions.npz")).find(existsSync);
}

/** A package has its quantization; of a checkpoint there are both. */
async function openModels(paths: readonly string[]): Promise<Model[]> {
  const backend = await createWasmBackend(await loadWasmModules());
  const models: Model[] = [];
  for (const path of paths) {
    const isPackage = existsSync(join(path, MANIFEST_FILE));
    for (const quantization of isPackage ? [undefined] : (["f32", "q8"] as const))
      models.push(await openModel(path, { backend, quantization }));
  }
  return models;
}

function f32Of(models: readonly Model[], evaluations: readonly Evaluation[]): Evaluation | undefined {
  return evaluations[models.findIndex(({ manifest }) => manifest.quantization === "f32")];
}

function top1({ said }: Pick<Predictions, "said">, { labels }: Photographs): number {
  return agreement({ said }, { said: Uint16Array.from(labels) });
}

type Report = ReturnType<typeof report>;

function report(
  { manifest }: Model,
  evaluation: Evaluation,
  others: { photographs: Photographs; pytorch: Predictions | undefined; f32: Evaluation | undefined },
) {
  const against = (other: Predictions | undefined) =>
    other === undefined || other === evaluation
      ? null
      : { agreement: agreement(evaluation, other), worst_logits: worstDistance(evaluation, other) };
  return {
    model: manifest.id,
    weights: manifest.quantization,
    top1: top1(evaluation, others.photographs),
    against_pytorch: against(others.pytorch),
    against_f32: against(others.f32),
    images_per_second: evaluation.said.length / evaluation.seconds,
  };
}

function shortfalls({ model, weights, against_pytorch, against_f32 }: Report): string[] {
  const said = (share: number, other: string, least: number): string =>
    `${model} says the same class as ${other} of ${percent(share)} % of the pictures, it must be ${100 * least} %`;
  const list: string[] = [];
  if (weights === "f32" && against_pytorch && against_pytorch.agreement < AGREES_WITH_PYTORCH)
    list.push(said(against_pytorch.agreement, "PyTorch in f32", AGREES_WITH_PYTORCH));
  if (weights === "q8" && against_f32 && against_f32.agreement < AGREES_WITH_F32)
    list.push(said(against_f32.agreement, "the f32 model", AGREES_WITH_F32));
  return list;
}

function percent(share: number): string {
  return (100 * share).toFixed(2);
}

interface Summary {
  readonly photographs: string;
  readonly images: number;
  readonly prepared_per_second: number;
  readonly pytorch_top1: number | null;
  readonly models: readonly Report[];
}

function text({ photographs, images, prepared_per_second, pytorch_top1, models }: Summary): string {
  const rows = models.map(
    (m): Row => ({
      model: m.model,
      weights: m.weights,
      "top-1 %": percent(m.top1),
      "as PyTorch f32 %": m.against_pytorch ? percent(m.against_pytorch.agreement) : "",
      "worst logits beside PyTorch": m.against_pytorch ? m.against_pytorch.worst_logits.toExponential(1) : "",
      "as f32 %": m.against_f32 ? percent(m.against_f32.agreement) : "",
      "images/s": m.images_per_second.toFixed(1),
    }),
  );
  const theirs =
    pytorch_top1 === null ? "no predictions to compare with" : `PyTorch's top-1 in f32 is ${percent(pytorch_top1)} %`;
  return (
    `${images} pictures of ${photographs}, ${prepared_per_second.toFixed(0)} a second decoded and prepared; ${theirs}\n\n` +
    table(rows)
  );
}
