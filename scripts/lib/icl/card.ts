import type { Evaluation } from "./evaluate.ts";

const NAMES: Readonly<Record<string, string>> = {
  transformer: "a Transformer (GPT-2's blocks)",
  mamba: "Mamba",
  s4d: "S4D",
  "s4-mamba": "S4-Mamba: Mamba's block with S4D in place of the selective scan",
  "standard-hybrid": "a Standard Hybrid: positions, then attention and Mamba in turns",
  mambaformer: "MambaFormer: a Mamba block, then attention and Mamba in turns",
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
  return `# ${name}

${NAMES[e.architecture] ?? e.architecture} of ${(e.parameters / 1e6).toFixed(2)} M parameters in its layers, which learns ${e.task} from the examples in its prompt: it knows nothing
else. Trained on prompts drawn at random (scripts/train/icl_tasks.py), so there are no data with a licence of their own; it has the project's, Apache-2.0.

| | |
|---|---|
| training | ${e.steps.toLocaleString("en")} steps of ${e.batch} prompts, rate ${e.lr}, seed ${e.seed}, ${Math.round(e.seconds).toLocaleString("en")} s beside other trainings |
| by | \`python3 scripts/train/icl.py --cell ${cell} --steps ${e.steps} --out CELLS\`, ${e.source} |
| score | ${e.final.toFixed(4)} (95 % interval ${e.low.toFixed(4)} to ${e.high.toFixed(4)}), ${e.scores.length.toLocaleString("en")} prompts, PyTorch in f32: ${score} |
| matrices | ${quantization}; \`npm run eval:icl\` compares what this package scores with PyTorch, prompt by prompt those of evaluation.json |

Made by \`npm run pack:icl\` from the checkpoint folder that the training exported.
`;
}
