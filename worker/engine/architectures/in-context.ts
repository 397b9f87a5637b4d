import type { Block, Linear, Norm } from "../../../kernels/blocks.ts";
import { ModelError } from "../errors.ts";
import { inContextTensors, readInContext } from "./in-context-checkpoint.ts";
import { describeInContextConfig, modelSettings, readTrainedExamples } from "./in-context-config.ts";
import type { Architecture, Hyperparameters } from "./index.ts";

/**
 * Models of the in-context-learning study (Park et al. 2024; krafton-ai/mambaformer-icl): a read-in, a stack of layers of any mixture, a
 * LayerNorm and a read-out. Which of them a checkpoint is shows in its keys.
 */
export const inContext: Architecture = {
  name: "in-context",
  input: "vectors",
  // Where both ends share a matrix a file may hold it once: such models are told in words.
  detect: (_, tensors) => tensors.names().includes("_read_in.weight"),
  async fromCheckpoint(config, tensors) {
    const hyperparameters: Hyperparameters = { ...readInContext(modelSettings(config), tensors) };
    return {
      architecture: inContext.name,
      hyperparameters,
      tensors: inContextTensors(tensors, blocks(hyperparameters)),
      trainedExamples: interleaves(hyperparameters) ? readTrainedExamples(config) : undefined,
    };
  },
  describeConfig: describeInContextConfig,
  blocks,
};

/** What a layer may be. GPT-2's is attention, then an mlp. */
export const LAYERS = ["attention", "mlp", "mamba", "s4-mamba", "s4d"] as const;
export type LayerKind = (typeof LAYERS)[number];

/** Sizes that no layer has need of are 0. */
export interface InContextSizes {
  /** length of a vector that it is fed. */
  readonly inputs: number;
  readonly outputs: number;
  readonly dim: number;
  /** of LAYERS, with blanks between. */
  readonly layers: string;
  /** most positions of a sequence, where there is attention. */
  readonly positions: number;
  /** they are learned, and added to the stream. */
  readonly learnedPositions: boolean;
  readonly heads: number;
  readonly hidden: number;
  readonly inner: number;
  readonly state: number;
  readonly conv: number;
  readonly dtRank: number;
  readonly eps: number;
  /** in_proj and out_proj of Mamba and S4-Mamba have biases. Absent, as in the official models: they have none. */
  readonly bias?: true;
  /** false: their convolutions have none. */
  readonly convBias?: false;
  /** false: attention has none. */
  readonly attentionBias?: false;
  /** false: its prompts are vectors one after another, and not x1, y1, x2, y2 … Absent: they are. */
  readonly interleave?: false;
}

function blocks(h: Hyperparameters): Block[] {
  const sizes = check(h);
  const { inputs, outputs, dim, positions, learnedPositions, heads, hidden, inner, state, conv, dtRank, eps } = sizes;
  const norm = (name: string): Norm => ({ type: "layer", weight: `${name}.weight`, bias: `${name}.bias`, eps });
  const linear = (name: string): { weight: string; bias: string } => ({
    weight: `${name}.weight`,
    bias: `${name}.bias`,
  });
  const projection = (name: string, bias: boolean): Linear => (bias ? linear(name) : { weight: `${name}.weight` });
  const list: Block[] = [{ kind: "read-in", inputs, dim, proj: linear("read_in") }];
  if (learnedPositions) list.push({ kind: "positions", dim, count: positions, weight: "positions.weight" });
  for (const [i, kind] of layersOf(h).entries()) {
    const p = `layers.${i}`;
    const shared = { dim, norm: norm(`${p}.norm`) };
    const convBias = sizes.convBias === false ? {} : { convBias: `${p}.conv.bias` };
    const biased = sizes.attentionBias !== false;
    const gated = {
      inner,
      conv,
      convWeight: `${p}.conv.weight`,
      ...convBias,
      inProj: projection(`${p}.in_proj`, sizes.bias === true),
      outProj: projection(`${p}.out_proj`, sizes.bias === true),
    };
    const s4d = { state, decay: `${p}.decay`, C: `${p}.C`, D: `${p}.D` };
    switch (kind) {
      case "attention":
        list.push({
          kind,
          ...shared,
          heads,
          capacity: positions,
          qkv: projection(`${p}.qkv`, biased),
          proj: projection(`${p}.proj`, biased),
        });
        break;
      case "mlp":
        list.push({ kind, ...shared, hidden, up: linear(`${p}.up`), down: linear(`${p}.down`) });
        break;
      case "mamba":
        list.push({
          kind,
          ...shared,
          ...gated,
          state,
          dtRank,
          xProj: `${p}.x_proj.weight`,
          dtProj: linear(`${p}.dt_proj`),
          A: `${p}.A`,
          D: `${p}.D`,
        });
        break;
      case "s4-mamba":
        list.push({ kind, ...shared, ...gated, s4d });
        break;
      case "s4d":
        list.push({ kind, ...shared, s4d, mix: linear(`${p}.mix`) });
        break;
    }
  }
  list.push({ kind: "norm", dim, norm: norm("norm_f") });
  list.push({ kind: "head", vocab: outputs, dim, proj: linear("read_out") });
  return list;
}

/** Whether models with such hyperparameters are fed examples, each an x and then its y. */
export function interleaves({ interleave }: Hyperparameters): boolean {
  return interleave !== false;
}

function layersOf(h: Hyperparameters): LayerKind[] {
  const kinds = typeof h.layers === "string" ? h.layers.split(" ") : [];
  const isKind = (kind: string): kind is LayerKind => (LAYERS as readonly string[]).includes(kind);
  if (kinds.length === 0 || !kinds.every(isKind)) {
    throw new ModelError(
      `hyperparameter layers of an in-context package must be words of ${LAYERS.join(", ")}, is ${JSON.stringify(h.layers)}`,
    );
  }
  return kinds;
}

/** Which sizes a layer needs. */
const NEEDS: Readonly<Record<LayerKind, readonly (keyof InContextSizes)[]>> = {
  attention: ["positions", "heads"],
  mlp: ["hidden"],
  mamba: ["inner", "state", "conv", "dtRank"],
  "s4-mamba": ["inner", "state", "conv"],
  s4d: ["state"],
};

function check(h: Hyperparameters): InContextSizes {
  const kinds = layersOf(h);
  const needed = new Set(["inputs", "outputs", "dim", ...kinds.flatMap((kind) => NEEDS[kind])]);
  for (const key of ["inputs", "outputs", "dim", "positions", "heads", "hidden", "inner", "state", "conv", "dtRank"]) {
    const v = h[key];
    const least = needed.has(key) ? 1 : 0;
    if (typeof v !== "number" || !Number.isInteger(v) || v < least || v > 2 ** 24) {
      throw new ModelError(
        `hyperparameter ${key} of an in-context package must be a whole number from ${least} to 2^24, is ${JSON.stringify(v)}`,
      );
    }
  }
  if (typeof h.learnedPositions !== "boolean" || (h.learnedPositions && !kinds.includes("attention"))) {
    throw new ModelError(
      `hyperparameter learnedPositions of an in-context package must be false, or true with attention, is ${JSON.stringify(h.learnedPositions)}`,
    );
  }
  if (kinds.includes("attention") && (h.dim as number) % (h.heads as number) !== 0) {
    throw new ModelError(`hyperparameter heads of an in-context package must divide dim ${h.dim}, is ${h.heads}`);
  }
  if (typeof h.eps !== "number" || !(h.eps > 0 && h.eps < 1)) {
    throw new ModelError(
      `hyperparameter eps of an in-context package must lie between 0 and 1, is ${JSON.stringify(h.eps)}`,
    );
  }
  for (const [key, other] of [
    ["bias", true],
    ["convBias", false],
    ["attentionBias", false],
  ] as const) {
    if (h[key] === undefined || h[key] === other) continue;
    throw new ModelError(
      `hyperparameter ${key} of an in-context package must be ${other} or absent, is ${JSON.stringify(h[key])}`,
    );
  }
  if (h.interleave !== undefined && h.interleave !== false) {
    throw new ModelError(
      `hyperparameter interleave of an in-context package must be false, or absent where examples (x, y) are fed in turns, is ${JSON.stringify(h.interleave)}`,
    );
  }
  return h as unknown as InContextSizes;
}
