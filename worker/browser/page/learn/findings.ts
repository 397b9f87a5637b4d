import { list, type Score, type TaskResult, titleOf, verdict } from "./study.ts";

/** What was found on a task, in one sentence made of its numbers. */
export function finding(result: TaskResult): string {
  const parts = result.solvedBelow === undefined ? ranking(result) : verdicts(result);
  return `${parts.join("; ")}.`;
}

/** A row of a task's numbers, as they are shown. */
export interface ScoreRow {
  readonly title: string;
  readonly score: string;
  /** absent where nothing was trained. */
  readonly steps?: string;
  readonly verdict: string;
  readonly paper: string;
}

/** What the scores are of. */
export function measured({ measure, last }: TaskResult): string {
  return `${capital(measure)} ${last > 1 ? `over the last ${last} answers` : "of the last answer"}`;
}

/** The trained ones, then those without training. */
export function scoreRows(result: TaskResult): ScoreRow[] {
  const trained = result.models.map((m) => ({
    title: titleOf(m.name),
    score: number(m.final),
    steps: `${(m.steps ?? 0).toLocaleString("en")}${m.short ? ", short" : ""}`,
    verdict: verdict(result, m) ?? "",
    paper: result.paper[m.name] ?? "",
  }));
  const known = result.baselines.map((b) => ({ title: b.name, score: number(b.final), verdict: "", paper: "" }));
  return [...trained, ...known];
}

/** Who is as good as least squares, and from how many examples on; undefined where nobody looked. */
export function regression({ withinFrom, models }: TaskResult): string | undefined {
  if (withinFrom === undefined) return undefined;
  const counts = [...new Set(Object.values(withinFrom))].sort((a, b) => a - b);
  const solved = counts.map(
    (n) => `${titles(models.filter(({ name }) => withinFrom[name] === n))} from ${n} examples on`,
  );
  const never = models.filter(({ name }) => withinFrom[name] === undefined);
  const told = [...solved, ...(never.length > 0 ? [`${titles(never)} never`] : [])];
  return `Within 1.3 times least squares' error + 0.02: ${told.join("; ")}.`;
}

const WORDS: readonly (readonly [found: string, words: (names: string, many: boolean) => string])[] = [
  ["solved", (names) => `solved by ${names}`],
  ["failed", (names) => `failed by ${names}`],
  ["neither", (names, many) => `${names} ${many ? "lie" : "lies"} between`],
];
const EXPECTED: Readonly<Record<string, string>> = { ok: "solved", fails: "failed" };

/** Who solves it and who fails, and of whom the paper says something else. */
function verdicts(result: TaskResult): string[] {
  const parts = WORDS.flatMap(([found, words]) => {
    const those = result.models.filter((m) => verdict(result, m) === found);
    return those.length === 0 ? [] : [words(titles(those), those.length > 1)];
  });
  const other = result.models.filter((m) => {
    const expected = EXPECTED[result.paper[m.name] ?? ""];
    return expected !== undefined && expected !== verdict(result, m);
  });
  const theirs = other.map(
    ({ name }) => `${called(name)} ${EXPECTED[result.paper[name]!] === "solved" ? "solves it" : "fails"}`,
  );
  const [first, ...rest] = [...parts, ...(theirs.length > 0 ? [`in the paper ${list(theirs)}`] : [])];
  return [capital(first!), ...rest];
}

/** Who is best, with who lies within the best one's interval, and who is last; what the best can do that was not trained. */
function ranking({ models, baselines }: TaskResult): string[] {
  const sorted = [...models].sort((a, b) => a.final - b.final);
  const [first, last] = [sorted[0]!, sorted.at(-1)!];
  const best = sorted.filter(({ final }) => final <= first.high);
  const known = [...baselines].sort((a, b) => a.final - b.final)[0];
  const behind = best.includes(last) ? [] : [`the last is ${called(last.name)} with ${number(last.final)}`];
  return [
    `The best: ${titles(best)} with ${range(best)}`,
    ...behind,
    ...(known === undefined ? [] : [`without training ${known.name} has ${number(known.final)}`]),
  ];
}

function range(scores: readonly Score[]): string {
  const [least, most] = [number(scores[0]!.final), number(scores.at(-1)!.final)];
  return least === most ? least : `${least} to ${most}`;
}

function titles(scores: readonly Score[]): string {
  return list(scores.map(({ name }) => called(name)));
}

/** In a sentence: the others' titles are names. */
function called(name: string): string {
  return name === "transformer" ? `the ${titleOf(name)}` : titleOf(name);
}

/** Three decimals; two digits of what is smaller. */
function number(value: number): string {
  if (value !== 0 && Math.abs(value) < 0.01) return String(Number(value.toPrecision(2)));
  return value.toFixed(3).replace("-", "−");
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
