import type { Hyperparameters } from "../../../engine/architectures/index.ts";
import json from "../results/study.json";

/* What scripts/train/icl_study.py wrote of the committed results. */

export interface Score {
  readonly name: string;
  readonly final: number;
  /** of the 95 % interval over the prompts. */
  readonly low: number;
  readonly high: number;
  readonly steps?: number;
  readonly short?: boolean;
}

export interface TaskResult {
  readonly task: string;
  readonly measure: string;
  /** over so many last answers. */
  readonly last: number;
  /** the paper's verdict of an architecture: ok, weak or fails. */
  readonly paper: Readonly<Record<string, string>>;
  readonly solvedBelow?: number;
  readonly failedAbove?: number;
  /** by architecture the examples from which on its error is within 1.3 times least squares' + 0.02. */
  readonly withinFrom?: Readonly<Record<string, number>>;
  readonly models: readonly Score[];
  readonly baselines: readonly Score[];
}

export interface Architecture {
  readonly name: string;
  readonly title: string;
  readonly sizes: Hyperparameters;
}

/** How the board's models were trained. */
export interface Training {
  readonly inputs: number;
  readonly points: number;
  readonly firstInputs: number;
  readonly firstPoints: number;
  /** parts of the training: in which inputs are as few as they begin, and at whose end all are there. */
  readonly hold: number;
  readonly curriculum: number;
}

const TITLES: Readonly<Record<string, string>> = {
  transformer: "Transformer",
  mamba: "Mamba",
  s4d: "S4",
  "s4-mamba": "S4-Mamba",
  "standard-hybrid": "Standard Hybrid",
  mambaformer: "MambaFormer",
};

export const ARCHITECTURES: readonly Architecture[] = json.architectures.map((a) => ({ ...a, title: titleOf(a.name) }));
export const TASKS = json.tasks as readonly TaskResult[];
export const TRAINING: Training = json.board;

/** Where the study draws a line: "solved", "failed" or "neither". */
export function verdict({ solvedBelow, failedAbove }: TaskResult, { final }: Score): string | undefined {
  if (solvedBelow === undefined || failedAbove === undefined) return undefined;
  return final < solvedBelow ? "solved" : final > failedAbove ? "failed" : "neither";
}

/** Another training of a task, which its name says. */
const AGAIN = /-no-curriculum$/;

/** On how many tasks a model is the best, or within the best one's interval; each task once, by its usual training. */
export function bestOn(name: string, results = TASKS): readonly [best: number, of: number] {
  const usual = results.filter(({ task }) => !AGAIN.test(task));
  const tried = usual.filter(({ models }) => models.length > 1 && models.some((m) => m.name === name));
  const best = tried.filter(({ models }) => {
    const first = [...models].sort((a, b) => a.final - b.final)[0]!;
    return models.find((m) => m.name === name)!.final <= first.high;
  });
  return [best.length, tried.length];
}

export function titleOf(name: string): string {
  return TITLES[name] ?? name;
}

export function list(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
