import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Model } from "../../../worker/engine/model.ts";
import { Sequence } from "../../../worker/engine/sequence.ts";
import { UsageError } from "../cli.ts";
import { Counter } from "./counter.ts";
import { TASKS, type Task } from "./tasks.ts";

export const EVALUATION_FILE = "evaluation.json";

/** What icl.py found of a cell: each evaluation prompt's score, in order. */
const Evaluation = z.looseObject({
  task: z.string(),
  architecture: z.string(),
  seed: z.int(),
  lr: z.number(),
  steps: z.int(),
  seconds: z.number(),
  batch: z.int(),
  /** absent: with the task's curriculum, as is true */
  curriculum: z.boolean().optional(),
  parameters: z.int(),
  final: z.number(),
  low: z.number(),
  high: z.number(),
  source: z.string(),
  scores: z.array(z.number()).min(1),
  /** what scripts/train/icl_packed.py adds: PyTorch's scores with a package's own, quantized weights */
  packed: z
    .looseObject({
      quantization: z.string(),
      final: z.number(),
      low: z.number(),
      high: z.number(),
      source: z.string(),
      scores: z.array(z.number()).min(1),
    })
    .optional(),
});
export type Evaluation = z.output<typeof Evaluation>;

/** @throws UsageError when the folder holds none, or one of an unknown task */
export function readEvaluation(folder: string): Evaluation {
  const file = join(folder, EVALUATION_FILE);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new UsageError(
      missing
        ? `${folder} has no ${EVALUATION_FILE}: give a cell that scripts/train/icl.py exported, or a package that npm run pack:icl made`
        : `cannot read ${file}, which scripts/train/icl.py writes: ${(error as Error).message}`,
    );
  }
  const { success, data, error } = Evaluation.safeParse(json);
  if (!success) throw new UsageError(`${file} is not what icl.py writes: ${z.prettifyError(error)}`);
  if (TASKS[data.task] === undefined)
    throw new UsageError(`${file}: unknown task ${data.task}, known are ${Object.keys(TASKS).join(", ")}`);
  return data;
}

/** A model's score of evaluation prompt `index`. */
export async function scorePrompt(model: Model, task: Task, index: number): Promise<number> {
  const { tokens, targets, clean } = task.draw(new Counter(index));
  const sequence = new Sequence(model);
  try {
    const said = await sequence.feedVectors(tokens);
    const channels = targets.length / clean.length;
    let [sum, count] = [0, 0];
    for (let i = clean.length - task.last; i < clean.length; i++) {
      if (clean[i] === 0) continue;
      const at = task.read(i) * model.outputs;
      sum += task.score(said.subarray(at, at + model.outputs), targets.subarray(i * channels, (i + 1) * channels), i);
      count++;
    }
    return sum / count;
  } finally {
    sequence.dispose();
  }
}

/** @throws UsageError when the model is of another shape than the task's */
export function taskOf(model: Model, { task: name }: Evaluation): Task {
  const task = TASKS[name]!;
  if (model.inputs !== task.inputs || model.outputs !== task.outputs) {
    throw new UsageError(
      `${model.manifest.id} takes ${model.inputs} numbers and says ${model.outputs}, task ${name} has ${task.inputs} and ${task.outputs}: ` +
        `its ${EVALUATION_FILE} is another model's`,
    );
  }
  return task;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}
