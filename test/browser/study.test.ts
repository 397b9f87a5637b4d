import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readManifest } from "../../weights/loader.ts";
import { folderSource } from "../../weights/node/folder.ts";
import { overtakes, stateBytes } from "../../worker/browser/page/learn/states.ts";
import {
  ARCHITECTURES,
  bestOn,
  finding,
  TASKS,
  type TaskResult,
  verdict,
} from "../../worker/browser/page/learn/study.ts";

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
      score("mamba", 0.2),
      score("mambaformer", 0.05),
    ],
    baselines: [score("lasso", 0.4)],
  };

  test("is said with its numbers, the paper's verdicts and where ours differ", () => {
    expect(finding(result)).toBe(
      "Squared error over the last 16 answers: Transformer 0.900 (failed), Mamba 0.200 (neither solved nor failed) and " +
        "MambaFormer 0.050 (solved). Without training: lasso 0.400. The paper: Transformer ok, Mamba fails and MambaFormer ok. " +
        "Ours differ for Transformer and Mamba. Short trainings: 17,020 steps; the paper's had 500,000.",
    );
    expect(finding({ ...result, models: result.models.slice(2) })).toMatch(/Ours come out the same\.$/);
  });

  test("of linear regression is said who is as good as least squares, and from when on", () => {
    const withinFrom = { mamba: 26, mambaformer: 21 };
    expect(finding({ ...result, withinFrom })).toContain(
      "Within 1.3 times least squares' error + 0.02: MambaFormer from 21 examples on; Mamba from 26 examples on; Transformer never.",
    );
    expect(finding(result)).not.toContain("least squares");
  });

  test("where no line is drawn there is no verdict", () => {
    const { solvedBelow, failedAbove, ...open } = result;
    expect([solvedBelow, failedAbove, verdict(open, result.models[0]!)]).toEqual([0.1, 0.5, undefined]);
    expect(finding(open)).not.toMatch(/solved|Ours/);
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
