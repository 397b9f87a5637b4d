import type { Block } from "../../../kernels/blocks.ts";
import { ModelError } from "../errors.ts";
import type { Architecture, Hyperparameters } from "./index.ts";
import { isMamba, mambaTensors, readMamba } from "./mamba-checkpoint.ts";

/**
 * Mamba-1 language models (Gu & Dao 2023): checkpoints of state-spaces/mamba and of Hugging Face transformers.
 * Sizes come from the tensors; a config.json that states others is refused.
 */
export const mamba: Architecture = {
  name: "mamba",
  detect: isMamba,
  async fromCheckpoint(config, tensors) {
    const sizes = await readMamba(config, tensors);
    const hyperparameters: Hyperparameters = { ...sizes };
    return {
      architecture: mamba.name,
      hyperparameters,
      tensors: mambaTensors(tensors, blocks(hyperparameters), sizes),
    };
  },
  blocks,
};

export interface MambaSizes {
  readonly vocab: number;
  readonly dim: number;
  readonly layers: number;
  readonly inner: number;
  readonly state: number;
  readonly conv: number;
  readonly dtRank: number;
  readonly eps: number;
  /** the head reads the embedding's table. */
  readonly tied: boolean;
  /** in_proj and out_proj have biases. */
  readonly bias: boolean;
  readonly convBias: boolean;
}

function blocks(h: Hyperparameters): Block[] {
  const size = (key: keyof MambaSizes): number => {
    const v = h[key];
    if (typeof v !== "number" || !Number.isInteger(v) || v < 1 || v > 2 ** 24) {
      throw new ModelError(
        `hyperparameter ${key} of a mamba package must be a whole number from 1 to 2^24, is ${JSON.stringify(v)}`,
      );
    }
    return v;
  };
  const flag = (key: keyof MambaSizes): boolean => {
    const v = h[key];
    if (typeof v !== "boolean")
      throw new ModelError(`hyperparameter ${key} of a mamba package must be true or false, is ${JSON.stringify(v)}`);
    return v;
  };
  const eps = h.eps;
  if (typeof eps !== "number" || !(eps > 0 && eps < 1)) {
    throw new ModelError(`hyperparameter eps of a mamba package must lie between 0 and 1, is ${JSON.stringify(eps)}`);
  }
  const [dim, vocab, inner, state, conv, dtRank] = [
    size("dim"),
    size("vocab"),
    size("inner"),
    size("state"),
    size("conv"),
    size("dtRank"),
  ];
  const [bias, convBias, tied] = [flag("bias"), flag("convBias"), flag("tied")];
  const list: Block[] = [{ kind: "embedding", vocab, dim, weight: "embedding.weight" }];
  for (let i = 0; i < size("layers"); i++) {
    const p = `layers.${i}.`;
    list.push({
      kind: "mamba",
      dim,
      inner,
      state,
      conv,
      dtRank,
      norm: { type: "rms", weight: `${p}norm.weight`, eps },
      inProj: { weight: `${p}in_proj.weight`, ...(bias && { bias: `${p}in_proj.bias` }) },
      convWeight: `${p}conv.weight`,
      ...(convBias && { convBias: `${p}conv.bias` }),
      xProj: `${p}x_proj.weight`,
      dtProj: { weight: `${p}dt_proj.weight`, bias: `${p}dt_proj.bias` },
      A: `${p}A`,
      D: `${p}D`,
      outProj: { weight: `${p}out_proj.weight`, ...(bias && { bias: `${p}out_proj.bias` }) },
    });
  }
  list.push({ kind: "norm", dim, norm: { type: "rms", weight: "norm_f.weight", eps } });
  list.push({ kind: "head", vocab, dim, proj: { weight: tied ? "embedding.weight" : "head.weight" } });
  return list;
}
