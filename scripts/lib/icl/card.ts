import type { Evaluation } from "./evaluate.ts";
import { TASKS } from "./tasks.ts";

const NAMES: Readonly<Record<string, string>> = {
  transformer: "A Transformer (GPT-2's blocks)",
  mamba: "Mamba",
  s4d: "S4D",
  "s4-mamba": "S4-Mamba (Mamba's block with S4D in place of the selective scan)",
  "standard-hybrid": "A Standard Hybrid (positions, then attention and Mamba in turns)",
  mambaformer: "MambaFormer (a Mamba block, then attention and Mamba in turns)",
};

const LEARNS: Readonly<Record<string, string>> = {
  linear: "linear regression",
  "sparse-linear": "sparse linear regression",
  "relu-network": "what a ReLU network computes",
  "decision-tree": "decision trees",
  "orthogonal-outliers": "linear regression among outliers that lie in a plane",
  "many-outliers": "linear regression among many outliers",
  "sparse-parity": "sparse parity",
  retrieval: "to look values up by their keys",
  "chain-of-thought": "what a network computes, from its steps",
  mixture: "where a mixture of Gaussians lies",
};

/** What the prompts of a task were made of: a model knows nothing else. */
const TAKES: Readonly<Record<string, string>> = {
  linear:
    "x of 20 numbers from N(0, 1), y = w·x without noise, w from N(0, 1) for each prompt; `standardize` of `/v1/icl/predictions` brings other data to that",
  "sparse-parity":
    "x of 10 numbers, each −1 or 1; y the product of two of them, the same two in all examples of a prompt",
};

const SCORES: Readonly<Record<string, string>> = {
  "sparse-parity": "share of wrong signs over the last 20 points",
  retrieval: "squared error over the last 16 values, 1 for saying nothing",
  mixture: "−ln of the next point's density over the last 20 points",
};

/** A package's README.md. */
export function card(name: string, quantization: string, e: Evaluation): string {
  const cell = `${e.task}:${e.architecture}${e.curriculum === false ? ":no-curriculum" : ""}`;
  const score = SCORES[e.task] ?? "squared error of the last prediction, 1 for saying nothing";
  const learns = LEARNS[e.task] ?? e.task;
  const millions = (e.parameters / 1e6).toFixed(2);
  const prompts = e.scores.length.toLocaleString("en");
  const interval = `95 % interval ${e.low.toFixed(4)} to ${e.high.toFixed(4)}`;
  const { packed } = e;
  const own =
    packed === undefined
      ? "`npm run eval:icl` compares what this package scores with PyTorch's scores in evaluation.json, prompt by prompt"
      : `with them PyTorch scores ${packed.final.toFixed(4)} (${packed.low.toFixed(4)} to ${packed.high.toFixed(4)}), and \`npm run eval:icl\` that the engine does`;
  const trained = `${e.steps.toLocaleString("en")} steps of ${e.batch} prompts, rate ${e.lr}, seed ${e.seed}`;
  const command = `python3 scripts/train/icl.py --cell ${cell} --seed ${e.seed} --lr ${e.lr} --steps ${e.steps} --out CELLS`;
  const most = TASKS[e.task]?.examples;
  const examples =
    most === undefined
      ? ""
      : `\n| examples | trained with up to ${most} before a question; with more it may be worse |`;
  const takes = TAKES[e.task] === undefined ? "" : `\n| takes | ${TAKES[e.task]} |`;
  return `# ${name}

${NAMES[e.architecture] ?? e.architecture} of ${millions} M parameters in its layers, which learns ${learns}
from the examples in its prompt: it knows nothing else. Trained on prompts drawn at random (scripts/train/icl_tasks.py), so there are
no data with a licence of their own; it has the project's, Apache-2.0.

| | |
|---|---|
| training | ${trained}, ${Math.round(e.seconds).toLocaleString("en")} s beside other trainings |
| by | \`${command}\`, ${e.source} |${takes}${examples}
| score | ${e.final.toFixed(4)} (${interval}), ${prompts} prompts, PyTorch in f32: ${score} |
| matrices | ${quantization}; ${own} |
| licence | Apache-2.0 |

Made by \`npm run pack:icl\` from the checkpoint folder that the training exported.
`;
}
