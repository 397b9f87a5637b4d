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

/** What was found on a task, in sentences made of its numbers. */
export function finding(result: TaskResult): string {
  const { measure, last, models, baselines } = result;
  const over = last > 1 ? `over the last ${last} answers` : "of the last answer";
  const sentences = [
    `${capital(measure)} ${over}: ${list(models.map((m) => `${titleOf(m.name)} ${number(m.final)}${mark(result, m)}`))}.`,
  ];
  if (baselines.length > 0)
    sentences.push(`Without training: ${list(baselines.map((b) => `${b.name} ${number(b.final)}`))}.`);
  const paper = Object.entries(result.paper);
  if (paper.length > 0) {
    sentences.push(`The paper: ${list(paper.map(([name, verdict]) => `${titleOf(name)} ${verdict}`))}.`);
    sentences.push(comparison(result));
  }
  if (result.withinFrom !== undefined) sentences.push(regression(result.withinFrom, models));
  const short = models.filter((m) => m.short).map((m) => m.steps ?? 0);
  if (short.length > 0) sentences.push(`Short trainings: ${steps(short)} steps; the paper's had 500,000.`);
  return sentences.filter((s) => s !== "").join(" ");
}

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

function mark(result: TaskResult, score: Score): string {
  const found = verdict(result, score);
  return found === undefined ? "" : found === "neither" ? " (neither solved nor failed)" : ` (${found})`;
}

const EXPECTED: Readonly<Record<string, string>> = { ok: "solved", fails: "failed" };

function comparison(result: TaskResult): string {
  const judged = result.models.flatMap((m) => {
    const [ours, theirs] = [verdict(result, m), EXPECTED[result.paper[m.name] ?? ""]];
    return ours === undefined || theirs === undefined ? [] : [{ title: titleOf(m.name), same: ours === theirs }];
  });
  if (judged.length === 0) return "";
  const other = judged.filter(({ same }) => !same).map(({ title }) => title);
  if (other.length === 0) return "Ours come out the same.";
  return other.length === judged.length ? "Ours come out differently." : `Ours differ for ${list(other)}.`;
}

/** Who is as good as least squares, and from how many examples on. */
function regression(from: Readonly<Record<string, number>>, models: readonly Score[]): string {
  const counts = [...new Set(Object.values(from))].sort((a, b) => a - b);
  const solved = counts.map((n) => {
    const names = models.filter(({ name }) => from[name] === n).map(({ name }) => titleOf(name));
    return `${list(names)} from ${n} examples on`;
  });
  const never = models.filter(({ name }) => from[name] === undefined).map(({ name }) => titleOf(name));
  const told = [...solved, ...(never.length > 0 ? [`${list(never)} never`] : [])];
  return `Within 1.3 times least squares' error + 0.02: ${told.join("; ")}.`;
}

function steps(counts: readonly number[]): string {
  const [least, most] = [Math.min(...counts), Math.max(...counts)].map((n) => n.toLocaleString("en"));
  return least === most ? least! : `${least} to ${most}`;
}

function number(value: number): string {
  return value.toFixed(3).replace("-", "−");
}

export function list(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
