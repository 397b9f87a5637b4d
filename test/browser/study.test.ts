import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readManifest } from "../../weights/loader.ts";
import { folderSource } from "../../weights/node/folder.ts";
import { finding, measured, regression, scoreRows } from "../../worker/browser/page/learn/findings.ts";
import { overtakes, stateBytes } from "../../worker/browser/page/learn/states.ts";
import { ARCHITECTURES, bestOn, TASKS, type TaskResult, verdict } from "../../worker/browser/page/learn/study.ts";

const root = "weights/models";
const packages = readdirSync(root).filter((name) => name.startsWith("icl-"));

describe("the sizes of the six architectures", () => {
  test.each(packages)("are those of %s", async (name) => {
    const { hyperparameters } = await readManifest(folderSource(join(root, name)));
    const fit = ARCHITECTURES.filter((a) => name.endsWith(`-${a.name}`)).sort((a, b) => b.name.length - a.name.length);
    // What the task decides, and not the architecture.
    const { inputs, outputs, positions, ...own } = fit[0]!.sizes;
    expect(hyperparameters).toMatchObject(own);
    expect([inputs, outputs]).toEqual([20, 1]);
    expect((positions as number) > 0).toBe((own.heads as number) > 0);
  });

  test("a state that grows is the larger one from the example that is said", () => {
    const [transformer, mamba] = [ARCHITECTURES[0]!, ARCHITECTURES[1]!];
    const at = overtakes(transformer, mamba);
    expect(stateBytes(transformer, at)).toBeGreaterThanOrEqual(stateBytes(mamba, at));
    expect(stateBytes(transformer, at - 1)).toBeLessThan(stateBytes(mamba, at - 1));
  });
});

describe("what was found", () => {
  const score = (name: string, final: number) => ({ name, final, low: final - 0.01, high: final + 0.01 });
  const result: TaskResult = {
    task: "retrieval",
    measure: "squared error",
    last: 16,
    paper: { transformer: "ok", mamba: "fails", mambaformer: "ok" },
    solvedBelow: 0.1,
    failedAbove: 0.5,
    models: [
      { ...score("transformer", 0.9), steps: 17_020, short: true },
      { ...score("mamba", 0.2), steps: 30_000 },
      { ...score("mambaformer", 0.05), steps: 30_000 },
    ],
    baselines: [score("lasso", 0.4)],
  };

  test("is said in a sentence: who solves it, who fails, and where the paper says something else", () => {
    expect(finding(result)).toBe(
      "Solved by MambaFormer; failed by the Transformer; Mamba lies between; in the paper the Transformer solves it and Mamba fails.",
    );
    expect(finding({ ...result, models: result.models.slice(2) })).toBe("Solved by MambaFormer.");
    expect(finding({ ...result, models: result.models.slice(0, 1), paper: {} })).toBe("Failed by the Transformer.");
  });

  test("where no line is drawn there is no verdict: who is best, within its interval, and last is said", () => {
    const { solvedBelow, failedAbove, ...open } = result;
    expect([solvedBelow, failedAbove, verdict(open, result.models[0]!)]).toEqual([0.1, 0.5, undefined]);
    expect(finding(open)).toBe(
      "The best: MambaFormer with 0.050; the last is the Transformer with 0.900; without training lasso has 0.400.",
    );
    const close = [score("mamba", 0.0052), score("s4d", 0.0031)];
    expect(finding({ ...open, models: close, baselines: [] })).toBe("The best: S4 and Mamba with 0.0031 to 0.0052.");
  });

  test("its numbers are rows: score, steps, verdict and the paper's; what needs no training comes last", () => {
    expect(measured(result)).toBe("Squared error over the last 16 answers");
    expect(scoreRows(result)).toEqual([
      { title: "Transformer", score: "0.900", steps: "17,020, short", verdict: "failed", paper: "ok" },
      { title: "Mamba", score: "0.200", steps: "30,000", verdict: "neither", paper: "fails" },
      { title: "MambaFormer", score: "0.050", steps: "30,000", verdict: "solved", paper: "ok" },
      { title: "lasso", score: "0.400", verdict: "", paper: "" },
    ]);
  });

  test("of linear regression is said who is as good as least squares, and from when on", () => {
    expect(regression({ ...result, withinFrom: { mamba: 26, mambaformer: 21 } })).toBe(
      "Within 1.3 times least squares' error + 0.02: MambaFormer from 21 examples on; Mamba from 26 examples on; the Transformer never.",
    );
    expect(regression(result)).toBeUndefined();
  });

  test("study.json holds the best of the committed results, and every task has its plot", () => {
    interface Line extends Record<string, unknown> {
      readonly task: string;
      readonly architecture: string;
      readonly final: number;
      readonly search?: boolean;
      readonly curriculum?: boolean;
    }
    const lines = readFileSync("scripts/train/icl_results.jsonl", "utf8").trim().split("\n");
    const results = lines.map((line) => JSON.parse(line) as Line).filter(({ search }) => search !== true);
    expect(TASKS.length).toBeGreaterThan(0);
    for (const { task, models, baselines } of TASKS) {
      expect(readdirSync("worker/browser/page/results")).toContain(`${task}.svg`);
      const trained = task.replace(/-no-curriculum$/, "");
      const curriculum = trained === task;
      for (const { name, final, low, high } of [...models, ...baselines]) {
        const attempts = results
          .filter((line) => line.task === trained && line.architecture === name)
          .filter((line) => (line.curriculum ?? curriculum) === curriculum)
          .sort((a, b) => a.final - b.final);
        expect(attempts[0], `${task} ${name}`).toMatchObject({ final, low, high });
      }
    }
    const [best, of] = bestOn("mambaformer");
    expect(best).toBeGreaterThan(0);
    expect(of).toBeLessThanOrEqual(TASKS.length);
  });
});
