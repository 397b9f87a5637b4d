import type { Backend } from "../../kernels/backend.ts";
import type { Encoding } from "../../weights/layout.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { Model, type ModelOptions } from "../../worker/engine/model.ts";
import { randomNumbers, type TinyCheckpoint, tensorsOf } from "./checkpoints.ts";

/** Random in-context models in the official repository's layout. */

export const FAMILIES = ["gpt2", "mamba", "s4d", "s4-mamba", "standard-hybrid", "mambaformer"] as const;
export type Family = (typeof FAMILIES)[number];

export interface InContextTinySizes {
  readonly inputs: number;
  readonly outputs: number;
  readonly dim: number;
  readonly layers: number;
  readonly heads: number;
  readonly points: number;
  readonly state: number;
  readonly conv: number;
  readonly seed: number;
}

export const SIZES: InContextTinySizes = {
  inputs: 5,
  outputs: 1,
  dim: 32,
  layers: 4,
  heads: 8,
  points: 60,
  state: 16,
  conv: 4,
  seed: 1,
};
/** No two alike, none a multiple of a vector: heads of width 5, 88 inner channels, blocks of keys cut anywhere. */
export const ODD: InContextTinySizes = {
  ...SIZES,
  inputs: 3,
  outputs: 3,
  dim: 40,
  points: 51,
  state: 7,
  conv: 3,
  seed: 2,
};

export function inContextCheckpoint(family: Family, sizes: Partial<InContextTinySizes> = {}): TinyCheckpoint {
  const s = { ...SIZES, ...sizes };
  const { dim, inputs, outputs, state } = s;
  const inner = 2 * dim;
  const dtRank = Math.ceil(dim / 16);
  const random = randomNumbers(s.seed);
  const values: TinyCheckpoint["values"] = new Map();
  const add = (name: string, shape: readonly number[], value: () => number): void => {
    values.set(name, { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value) });
  };
  const spread = (scale: number) => (): number => scale * (random() + random() + random() - 1.5);
  const linear = (name: string, rows: number, cols: number, shape = [rows, cols]): void => {
    add(`${name}.weight`, shape, spread(2 / Math.sqrt(cols)));
    add(`${name}.bias`, [rows], spread(0.3));
  };
  const norm = (name: string): void => {
    add(`${name}.weight`, [dim], () => 0.5 + random());
    add(`${name}.bias`, [dim], spread(0.5));
  };
  const s4 = (name: string, channels: number): void => {
    add(`${name}.D`, [channels], spread(1));
    add(`${name}.kernel.log_dt`, [channels], () => Math.log(0.001) + random() * Math.log(100));
    add(`${name}.kernel.log_A_real`, [channels, state], () => Math.log(0.3 + random()));
    let n = 0;
    add(`${name}.kernel.A_imag`, [channels, state], () => Math.PI * (n++ % state));
    add(`${name}.kernel.C`, [channels, state, 2], spread(1));
  };
  const gated = (mixer: string): void => {
    add(`${mixer}.in_proj.weight`, [2 * inner, dim], spread(2 / Math.sqrt(dim)));
    add(`${mixer}.conv1d.weight`, [inner, 1, s.conv], spread(0.8));
    add(`${mixer}.conv1d.bias`, [inner], spread(0.3));
    add(`${mixer}.out_proj.weight`, [dim, inner], spread(2 / Math.sqrt(inner)));
  };

  linear("_read_in", dim, inputs);
  linear("_read_out", outputs, dim);
  if (family === "gpt2") {
    add("_backbone.wpe.weight", [2 * s.points, dim], spread(0.5));
    for (let i = 0; i < s.layers; i++) {
      const h = `_backbone.h.${i}`;
      norm(`${h}.ln_1`);
      linear(`${h}.attn.c_attn`, 3 * dim, dim, [dim, 3 * dim]);
      linear(`${h}.attn.c_proj`, dim, dim, [dim, dim]);
      norm(`${h}.ln_2`);
      linear(`${h}.mlp.c_fc`, 4 * dim, dim, [dim, 4 * dim]);
      linear(`${h}.mlp.c_proj`, dim, 4 * dim, [4 * dim, dim]);
    }
    norm("_backbone.ln_f");
    return finish({ family, n_head: s.heads });
  }
  const hybrid = family === "standard-hybrid" || family === "mambaformer";
  if (family === "standard-hybrid") add("wpe.weight", [s.points, dim], spread(0.5));
  add("_backbone.embedding.weight", [1, dim], spread(1));
  for (let i = 0; i < s.layers + (family === "mambaformer" ? 1 : 0); i++) {
    const mixer = `_backbone.layers.${i}.mixer`;
    norm(`_backbone.layers.${i}.norm`);
    if (family === "s4d") {
      s4(`${mixer}.s4`, dim);
      linear(`${mixer}.s4.output_linear.0`, 2 * dim, dim, [2 * dim, dim, 1]);
    } else if (family === "s4-mamba") {
      gated(mixer);
      s4(`${mixer}.S4DMamba`, inner);
    } else if (hybrid && i % 2 === (family === "mambaformer" ? 1 : 0)) {
      linear(`${mixer}.c_attn`, 3 * dim, dim);
      linear(`${mixer}.c_proj`, dim, dim);
    } else {
      gated(mixer);
      add(`${mixer}.x_proj.weight`, [dtRank + 2 * state, inner], spread(2 / Math.sqrt(inner)));
      add(`${mixer}.dt_proj.weight`, [inner, dtRank], spread(2 / Math.sqrt(dtRank)));
      add(`${mixer}.dt_proj.bias`, [inner], () => -4 + 3 * random());
      add(`${mixer}.A_log`, [inner, state], () => Math.log(1 + state * random()));
      add(`${mixer}.D`, [inner], spread(1));
    }
  }
  norm("_backbone.norm_f");
  return finish({ family: hybrid ? "tf-mamba" : family, ...(hybrid && { mixed_attn: family }) });

  function finish(config: Record<string, unknown>): TinyCheckpoint {
    const sized = { ...config, n_dims: inputs, n_embd: dim, n_layer: s.layers, n_positions: s.points };
    return { config: sized, values, tensors: tensorsOf(values) };
  }
}

export async function inContextModel(
  backend: Backend,
  family: Family,
  sizes: Partial<InContextTinySizes> = {},
  quantization: Encoding = "f32",
  options: ModelOptions = {},
): Promise<Model> {
  const memory = new MemoryPackage();
  await convertCheckpoint(inContextCheckpoint(family, sizes), { name: family, quantization }, memory);
  return Model.load(memory, backend, options);
}

/** The model of a folder of test/golden. */
export async function goldenInContextModel(backend: Backend, family: Family): Promise<Model> {
  const memory = new MemoryPackage();
  const checkpoint = await openCheckpoint(`test/golden/icl-${family}`);
  await convertCheckpoint(checkpoint, { name: `icl-${family}`, quantization: "f32" }, memory);
  return Model.load(memory, backend);
}
