import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createWasmBackend } from "../kernels/wasm/index.ts";
import { loadWasmModules } from "../kernels/wasm/node.ts";
import { progressBar, runCommand, UsageError, wholeNumber } from "./lib/cli.ts";
import { EVALUATION_FILE, mean, readEvaluation, scorePrompt, taskOf } from "./lib/icl/evaluate.ts";
import { openModel } from "./lib/open-model.ts";
import { table } from "./lib/table.ts";

/** Three digits of a score. Beside scores of weights that were not quantized a quantized model is another one: 1 is saying nothing. */
const TOLERANCE = { same: { absolute: 1e-6, relative: 1e-3 }, other: { absolute: 1e-3, relative: 1e-3 } };
const SHIPPED = "weights/models";

const help = `npm run eval:icl -- [DIR …] [--prompts N] [--json]

In-context models on the study's evaluation prompts, in WebAssembly on one thread, beside what PyTorch got on the same prompts.

DIR        packages, or checkpoint folders that icl.py exported; default: all of ${SHIPPED} with an ${EVALUATION_FILE}
--prompts  the first N prompts only (default: all that PyTorch's scores are there of, 1,280)
--json     print one JSON object

Exits with 1 when a mean score differs from PyTorch's by more than ${100 * TOLERANCE.same.relative} %. A quantized package whose ${EVALUATION_FILE} lacks the scores
of its own weights (scripts/train/icl_packed.py) is held to ${TOLERANCE.other.absolute} + ${100 * TOLERANCE.other.relative} % of the trained ones'.
`;

interface Report {
  readonly model: string;
  readonly task: string;
  readonly quantization: string;
  readonly prompts: number;
  readonly score: number;
  readonly pytorch: number;
  readonly prompts_per_second: number;
  readonly agrees: boolean;
}

await runCommand({
  help,
  options: { prompts: { type: "string" }, json: { type: "boolean" } },
  positionals: { min: 0, max: 64 },
  async run(given, values) {
    const folders = given.length > 0 ? given : shipped();
    const limit = wholeNumber("prompts", values.prompts, Number.MAX_SAFE_INTEGER);
    const reports: Report[] = [];
    for (const [i, folder] of folders.entries()) {
      const bar = progressBar(`${folder} (${i + 1} of ${folders.length})`);
      reports.push(await report(folder, limit, bar.update).finally(() => bar.stop()));
    }
    process.stdout.write(values.json === true ? `${JSON.stringify({ models: reports })}\n` : text(reports));
    for (const { model, score, pytorch } of reports.filter(({ agrees }) => !agrees)) {
      process.stderr.write(`error: ${model} scores ${score.toFixed(5)}, PyTorch ${pytorch.toFixed(5)}\n`);
      process.exitCode = 1;
    }
  },
});

function shipped(): string[] {
  const folders = readdirSync(SHIPPED).map((name) => join(SHIPPED, name));
  const found = folders.filter((folder) => existsSync(join(folder, EVALUATION_FILE)));
  if (found.length === 0)
    throw new UsageError(`no package in ${SHIPPED} has an ${EVALUATION_FILE}: make some with npm run pack:icl`);
  return found;
}

async function report(folder: string, limit: number, progress: (done: number, all: number) => void): Promise<Report> {
  const evaluation = readEvaluation(folder);
  const model = await openModel(folder, { backend: await createWasmBackend(await loadWasmModules()) });
  const task = taskOf(model, evaluation);
  const { quantization, id } = model.manifest;
  const own = evaluation.packed?.quantization === quantization ? evaluation.packed.scores : undefined;
  const expected = (own ?? evaluation.scores).slice(0, limit);
  const scores: number[] = [];
  const start = performance.now();
  for (const index of expected.keys()) {
    scores.push(await scorePrompt(model, task, index));
    progress(index + 1, expected.length);
  }
  const seconds = (performance.now() - start) / 1000;
  const [score, pytorch] = [mean(scores), mean(expected)];
  const { absolute, relative } = own !== undefined || quantization === "f32" ? TOLERANCE.same : TOLERANCE.other;
  return {
    model: id,
    task: evaluation.task,
    quantization,
    prompts: scores.length,
    score,
    pytorch,
    prompts_per_second: scores.length / seconds,
    agrees: Math.abs(score - pytorch) <= absolute + relative * Math.abs(pytorch),
  };
}

function text(reports: readonly Report[]): string {
  return table(
    reports.map((r) => ({
      model: r.model,
      task: r.task,
      prompts: r.prompts,
      score: r.score.toFixed(5),
      PyTorch: r.pytorch.toFixed(5),
      difference: (r.score - r.pytorch).toExponential(1),
      "prompts/s": r.prompts_per_second.toFixed(1),
    })),
  );
}
