import type { CheckpointTensors } from "../../weights/checkpoint.ts";
import { CheckpointError } from "../../weights/errors.ts";

/** Small Mamba-1 checkpoints with random weights, in the layouts that are found in the wild. */

export interface TinySizes {
  readonly layout: "hf" | "original";
  readonly dim: number;
  readonly layers: number;
  readonly vocab: number;
  readonly state: number;
  readonly conv: number;
  readonly expand: number;
  readonly dtRank: number;
  readonly bias: boolean;
  readonly convBias: boolean;
  readonly tied: boolean;
  readonly seed: number;
}

export const TINY: TinySizes = {
  layout: "hf",
  dim: 24,
  layers: 2,
  vocab: 260,
  state: 16,
  conv: 4,
  expand: 2,
  dtRank: 2,
  bias: false,
  convBias: true,
  tied: true,
  seed: 1,
};

export interface TinyCheckpoint {
  readonly config: Record<string, unknown>;
  readonly tensors: CheckpointTensors;
  readonly values: Map<string, { shape: readonly number[]; data: Float32Array }>;
}

/** Uniform numbers in [0, 1) from a seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function tinyCheckpoint(sizes: Partial<TinySizes> = {}): TinyCheckpoint {
  const s = { ...TINY, ...sizes };
  const inner = s.expand * s.dim;
  const random = randomNumbers(s.seed);
  const values: TinyCheckpoint["values"] = new Map();
  const add = (name: string, shape: readonly number[], value: () => number): void => {
    values.set(name, { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value) });
  };
  const spread = (scale: number) => (): number => scale * (random() + random() + random() - 1.5);
  // Keeps a row's product with a vector of ones' size at about 1, as trained matrices do.
  const matrix = (cols: number) => spread(2 / Math.sqrt(cols));
  add(`backbone.${s.layout === "hf" ? "embeddings" : "embedding"}.weight`, [s.vocab, s.dim], spread(1));
  for (let i = 0; i < s.layers; i++) {
    const mixer = `backbone.layers.${i}.mixer.`;
    add(`backbone.layers.${i}.norm.weight`, [s.dim], () => 0.5 + random());
    add(`${mixer}in_proj.weight`, [2 * inner, s.dim], matrix(s.dim));
    add(`${mixer}conv1d.weight`, [inner, 1, s.conv], spread(0.8));
    add(`${mixer}x_proj.weight`, [s.dtRank + 2 * s.state, inner], matrix(inner));
    add(`${mixer}dt_proj.weight`, [inner, s.dtRank], matrix(s.dtRank));
    add(`${mixer}dt_proj.bias`, [inner], () => -4 + 3 * random());
    add(`${mixer}A_log`, [inner, s.state], () => Math.log(1 + s.state * random()));
    add(`${mixer}D`, [inner], spread(1));
    add(`${mixer}out_proj.weight`, [s.dim, inner], matrix(inner));
    if (s.convBias) add(`${mixer}conv1d.bias`, [inner], spread(0.3));
    if (s.bias) {
      add(`${mixer}in_proj.bias`, [2 * inner], spread(0.3));
      add(`${mixer}out_proj.bias`, [s.dim], spread(0.3));
    }
  }
  add("backbone.norm_f.weight", [s.dim], () => 0.5 + random());
  if (!s.tied) add("lm_head.weight", [s.vocab, s.dim], spread(1));
  const config =
    s.layout === "hf"
      ? {
          model_type: "mamba",
          hidden_size: s.dim,
          num_hidden_layers: s.layers,
          vocab_size: s.vocab,
          state_size: s.state,
          conv_kernel: s.conv,
          expand: s.expand,
          intermediate_size: inner,
          time_step_rank: s.dtRank,
          use_bias: s.bias,
          use_conv_bias: s.convBias,
          layer_norm_epsilon: 1e-5,
          tie_word_embeddings: s.tied,
        }
      : { d_model: s.dim, n_layer: s.layers, vocab_size: s.vocab, ssm_cfg: {}, rms_norm: true, tie_embeddings: s.tied };
  return { config, values, tensors: tensorsOf(values) };
}

/** The reader's view of values that a test may change. */
export function tensorsOf(values: TinyCheckpoint["values"]): CheckpointTensors {
  const get = (name: string): { shape: readonly number[]; data: Float32Array } => {
    const tensor = values.get(name);
    if (tensor === undefined) throw new CheckpointError(`no tensor "${name}"`);
    return tensor;
  };
  return {
    names: () => [...values.keys()],
    shape: (name) => get(name).shape,
    read: async (name) => get(name).data.slice(),
  };
}
