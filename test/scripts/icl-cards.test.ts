import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { card } from "../../scripts/lib/icl/card.ts";
import { readEvaluation } from "../../scripts/lib/icl/evaluate.ts";
import { TASKS } from "../../scripts/lib/icl/tasks.ts";
import { readManifest } from "../../weights/loader.ts";
import { folderSource } from "../../weights/node/folder.ts";

const MODELS = "weights/models";
const names = readdirSync(MODELS).filter((name) => name.startsWith("icl-"));

test("the study's packages are there", () => expect(names).toContain("icl-linear-mamba"));

test.each(names)("the card of %s is what its evaluation makes it", (name) => {
  const folder = join(MODELS, name);
  expect(readFileSync(join(folder, "README.md"), "utf8")).toBe(card(name, "q8", readEvaluation(folder)));
});

test.each(names)("the manifest of %s says with how many examples its task trains", async (name) => {
  const folder = join(MODELS, name);
  const { trainedExamples } = await readManifest(folderSource(folder));
  expect(trainedExamples).toBe(TASKS[readEvaluation(folder).task]!.examples);
});

test("a card says with how many examples it was trained, where prompts are examples", () => {
  const evaluation = readEvaluation("test/golden/icl-cell");
  const row = "\n| examples | trained with up to";
  expect(card("a", "q8", evaluation)).toContain(`${row} 40 before a question; with more it may be worse |\n`);
  expect(card("a", "q8", { ...evaluation, task: "mixture" })).not.toContain(row);
});

test("a card's command trains the cell again: its curriculum, seed, rate and steps", () => {
  const evaluation = readEvaluation("test/golden/icl-cell");
  const text = card("icl-linear-mambaformer", "q4", {
    ...evaluation,
    curriculum: false,
    seed: 3,
    lr: 5e-4,
    steps: 1200,
  });
  expect(text).toContain(
    "`python3 scripts/train/icl.py --cell linear:mambaformer:no-curriculum --seed 3 --lr 0.0005 --steps 1200 --out CELLS`",
  );
  expect(text).toMatch(/^MambaFormer \(.*\) of 0\.01 M parameters in its layers, which learns linear regression$/m);
});
