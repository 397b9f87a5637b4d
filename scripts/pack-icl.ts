import { copyFileSync, existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MANIFEST_FILE } from "../weights/manifest.ts";
import { MemoryPackage } from "../weights/memory.ts";
import { folderSink } from "../weights/node/folder.ts";
import { convertCheckpoint } from "../worker/engine/convert.ts";
import { choice, progressBar, runCommand, UsageError } from "./lib/cli.ts";
import { card } from "./lib/icl/card.ts";
import { EVALUATION_FILE, type Evaluation, readEvaluation } from "./lib/icl/evaluate.ts";
import { refreshPackage } from "./lib/icl/refresh.ts";
import { TASKS } from "./lib/icl/tasks.ts";
import { openCheckpoint } from "./lib/open-checkpoint.ts";
import { QUANTIZATIONS } from "./lib/open-model.ts";

const MIB = 2 ** 20;
const PREFIX = "icl-";
/** What the page draws curves with comes first. */
const KEEP = [
  "linear.mambaformer",
  "linear.mamba",
  "linear.transformer",
  "sparse-parity.mamba",
  "retrieval.mambaformer",
];

const help = `npm run pack:icl -- CELLS [CELLS …] [--keep TASK.ARCHITECTURE,…] [--quant f32|q8|q4] [--out DIR] [--mib N]
npm run pack:icl -- --cards PACKAGE [PACKAGE …]

Packages the best trained cells of the in-context-learning study, each with its card and ${EVALUATION_FILE}.

CELLS    folders with the cells that scripts/train/icl.py exported, or such cells themselves
--keep   which, the most wanted first (default ${KEEP.join(",")}); of several seeds and attempts the best is taken
--quant  how matrices are stored: q8 (default), q4 or f32
--out    folder of the packages (default weights/models); a package is named ${PREFIX}TASK-ARCHITECTURE
--mib    most that all of them may take together (default 6), with those that are there already; what does not fit is left out
--cards  of packages that are there: writes the card anew, and into the manifest with how many examples it was trained

npm run eval:icl says afterwards whether they score as in PyTorch.
`;

interface Cell {
  readonly folder: string;
  readonly evaluation: Evaluation;
}

await runCommand({
  help,
  options: {
    keep: { type: "string" },
    quant: { type: "string" },
    out: { type: "string" },
    mib: { type: "string" },
    cards: { type: "boolean" },
  },
  positionals: { min: 1, max: 64 },
  async run(paths, values) {
    if (values.cards === true) {
      for (const path of paths) process.stdout.write(`${await refreshPackage(path)}\n`);
      return;
    }
    const quantization = choice("quant", values.quant, QUANTIZATIONS, "q8");
    const out = typeof values.out === "string" ? values.out : join("weights", "models");
    const most = positive("mib", values.mib, 6) * MIB;
    const best = bestCells(paths.flatMap(cellsIn));
    const wanted = typeof values.keep === "string" ? values.keep.split(",") : KEEP;
    const missing = wanted.filter((key) => !best.has(key));
    if (missing.length === wanted.length || (missing.length > 0 && values.keep !== undefined)) {
      throw new UsageError(
        `no cell ${missing.join(", ")} in ${paths.join(", ")}: there are ${[...best.keys()].join(", ") || "none"}`,
      );
    }
    const chosen = wanted.flatMap((key) => best.get(key) ?? []);
    let total = sizeBeside(out, chosen.map(packageName));
    const bar = progressBar("packaging");
    const lines: string[] = [];
    try {
      for (const [i, cell] of chosen.entries()) {
        const name = packageName(cell);
        const checkpoint = await openCheckpoint(cell.folder);
        const trainedExamples = TASKS[cell.evaluation.task]?.examples;
        const options = { name, quantization, trainedExamples };
        const tried = await convertCheckpoint(checkpoint, options, new MemoryPackage());
        const bytes = tried.shards.reduce((sum, shard) => sum + shard.bytes, 0);
        if (total + bytes > most) {
          lines.push(`${name}: ${mib(bytes)} MiB do not fit beside ${mib(total)} of ${mib(most)} MiB, left out`);
          continue;
        }
        const folder = join(out, name);
        await convertCheckpoint(checkpoint, options, await folderSink(folder));
        copyFileSync(join(cell.folder, EVALUATION_FILE), join(folder, EVALUATION_FILE));
        writeFileSync(join(folder, "README.md"), card(name, quantization, cell.evaluation));
        total += bytes;
        lines.push(`${tried.id}: ${mib(bytes)} MiB, score ${cell.evaluation.final}, from ${cell.folder}`);
        bar.update(i + 1, chosen.length);
      }
    } finally {
      bar.stop();
    }
    process.stdout.write(`${lines.join("\n")}\n${mib(total)} of ${mib(most)} MiB in ${out}\n`);
    if (missing.length > 0) process.stdout.write(`not there: ${missing.join(", ")}\n`);
  },
});

function cellsIn(path: string): Cell[] {
  if (!existsSync(path)) throw new UsageError(`${path} does not exist: which folder has the cells?`);
  const folders = [path, ...readdirSync(path).map((name) => join(path, name))];
  const found = folders.filter((folder) => existsSync(join(folder, EVALUATION_FILE)));
  if (found.length === 0) throw new UsageError(`${path} holds no cell: icl.py exports each with an ${EVALUATION_FILE}`);
  return found.map((folder) => ({ folder, evaluation: readEvaluation(folder) }));
}

/** By task.architecture the one with the lowest score. */
function bestCells(cells: readonly Cell[]): Map<string, Cell> {
  const best = new Map<string, Cell>();
  for (const cell of cells) {
    const key = `${cell.evaluation.task}.${cell.evaluation.architecture}`;
    const other = best.get(key);
    if (other === undefined || cell.evaluation.final < other.evaluation.final) best.set(key, cell);
  }
  return best;
}

function packageName({ evaluation: { task, architecture } }: Cell): string {
  return `${PREFIX}${task}-${architecture}`;
}

/** Bytes of the in-context packages there that are not about to be replaced. */
function sizeBeside(out: string, replaced: readonly string[]): number {
  const names = existsSync(out) ? readdirSync(out) : [];
  const folders = names
    .filter((name) => name.startsWith(PREFIX) && !replaced.includes(name))
    .map((name) => join(out, name))
    .filter((folder) => existsSync(join(folder, MANIFEST_FILE)));
  const shards = folders.flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith(".bin"))
      .map((name) => statSync(join(folder, name)).size),
  );
  return shards.reduce((sum, size) => sum + size, 0);
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(2);
}

function positive(name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  const number = Number(value);
  if (!(number > 0 && Number.isFinite(number)))
    throw new UsageError(`--${name} must be a number above 0, is "${value}"`);
  return number;
}
