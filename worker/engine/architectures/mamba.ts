import { type Block, matrixNames, tensorShapes } from "../../../kernels/blocks.ts";
import type { CheckpointTensors } from "../../../weights/checkpoint.ts";
import { ModelError } from "../errors.ts";
import type { Architecture, CanonicalCheckpoint, CanonicalTensor, Hyperparameters } from "./index.ts";

/**
 * Mamba-1 language models (Gu & Dao 2023): checkpoints of state-spaces/mamba and of Hugging Face transformers.
 * Sizes come from the tensors; a config.json that states others is refused.
 */
export const mamba: Architecture = { name: "mamba", detect, fromCheckpoint, blocks };

interface Sizes {
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

const EMBEDDINGS = ["embeddings.weight", "embedding.weight"];

function prefixOf(tensors: CheckpointTensors): string | undefined {
  const names = new Set(tensors.names());
  return ["backbone.", ""].find((p) => EMBEDDINGS.some((e) => names.has(p + e)));
}

function detect(config: Readonly<Record<string, unknown>>, tensors: CheckpointTensors): boolean {
  const type = config.model_type;
  const ssm = config.ssm_cfg as { layer?: unknown } | undefined;
  if (type !== undefined && type !== "mamba") return false;
  if (ssm?.layer !== undefined && ssm.layer !== "Mamba1") return false;
  const prefix = prefixOf(tensors);
  return prefix !== undefined && tensors.names().includes(`${prefix}layers.0.mixer.x_proj.weight`);
}

async function fromCheckpoint(
  config: Readonly<Record<string, unknown>>,
  tensors: CheckpointTensors,
): Promise<CanonicalCheckpoint> {
  const prefix = prefixOf(tensors) ?? "";
  const names = new Set(tensors.names());
  const embedding = prefix + EMBEDDINGS.find((e) => names.has(prefix + e));
  const sizes = await readSizes(config, tensors, prefix, embedding);
  checkConfig(config, sizes);

  const hyperparameters: Hyperparameters = { ...sizes };
  const source = new Map<string, { key: string; map?: (v: number) => number }>([
    ["embedding.weight", { key: embedding }],
    ["norm_f.weight", { key: `${prefix}norm_f.weight` }],
    ["head.weight", { key: "lm_head.weight" }],
  ]);
  for (let i = 0; i < sizes.layers; i++) {
    const ours = `layers.${i}.`;
    const theirs = `${prefix}layers.${i}.mixer.`;
    source.set(`${ours}norm.weight`, { key: `${prefix}layers.${i}.norm.weight` });
    source.set(`${ours}conv.weight`, { key: `${theirs}conv1d.weight` });
    source.set(`${ours}conv.bias`, { key: `${theirs}conv1d.bias` });
    source.set(`${ours}A`, { key: `${theirs}A_log`, map: (v) => -Math.exp(v) });
    for (const name of [
      "in_proj.weight",
      "in_proj.bias",
      "x_proj.weight",
      "dt_proj.weight",
      "dt_proj.bias",
      "D",
      "out_proj.weight",
      "out_proj.bias",
    ]) {
      source.set(ours + name, { key: theirs + name });
    }
  }

  const used = new Set<string>(sizes.tied ? ["lm_head.weight"] : []);
  const canonical: CanonicalTensor[] = [];
  for (const block of blocks(hyperparameters)) {
    const matrices = new Set(matrixNames(block));
    for (const [name, shape] of tensorShapes(block)) {
      if (canonical.some((t) => t.name === name)) continue;
      const { key, map } = source.get(name)!;
      checkShape(tensors, names, key, shape);
      used.add(key);
      const read = async (): Promise<Float32Array> => {
        const values = await tensors.read(key);
        return map === undefined ? values : values.map(map);
      };
      canonical.push({ name, shape, matrix: matrices.has(name), read });
    }
  }
  const unknown = [...names].filter((n) => !used.has(n));
  if (unknown.length > 0) {
    throw new ModelError(
      `the checkpoint has ${unknown.length} tensors that Mamba-1 does not have, such as "${unknown[0]}": it is of another architecture or has extra parts; remove them or use a version that knows them`,
    );
  }
  return { architecture: mamba.name, hyperparameters, tensors: canonical };
}

/** (inner, 1, K) and (inner, K) are the same bytes. */
function checkShape(
  tensors: CheckpointTensors,
  names: ReadonlySet<string>,
  key: string,
  shape: readonly number[],
): void {
  if (!names.has(key)) {
    throw new ModelError(`the checkpoint lacks tensor "${key}", of shape (${shape.join(", ")})`);
  }
  const seen = tensors.shape(key);
  const squeezed = seen.length === 3 && seen[1] === 1 ? [seen[0]!, seen[2]!] : seen;
  if (squeezed.join() !== shape.join()) {
    throw new ModelError(
      `tensor "${key}" of the checkpoint must have shape (${shape.join(", ")}), has (${seen.join(", ")})`,
    );
  }
}

async function readSizes(
  config: Readonly<Record<string, unknown>>,
  tensors: CheckpointTensors,
  prefix: string,
  embedding: string,
): Promise<Sizes> {
  const names = new Set(tensors.names());
  const first = `${prefix}layers.0.mixer.`;
  const shapeOf = (key: string, rank: number): readonly number[] => {
    if (!names.has(key)) throw new ModelError(`the checkpoint lacks tensor "${key}"`);
    const shape = tensors.shape(key);
    if (shape.length !== rank)
      throw new ModelError(`tensor "${key}" must have ${rank} dimensions, has shape (${shape.join(", ")})`);
    return shape;
  };
  const [vocab, dim] = shapeOf(embedding, 2) as [number, number];
  const [inner, state] = shapeOf(`${first}A_log`, 2) as [number, number];
  const [, , conv] = shapeOf(`${first}conv1d.weight`, 3) as [number, number, number];
  const [, dtRank] = shapeOf(`${first}dt_proj.weight`, 2) as [number, number];
  const layer = new RegExp(`^${prefix.replace(".", "\\.")}layers\\.(\\d+)\\.`);
  const layers = 1 + Math.max(...[...names].map((n) => Number(layer.exec(n)?.[1] ?? -1)));
  return {
    vocab,
    dim,
    layers,
    inner,
    state,
    conv,
    dtRank,
    eps: typeof config.layer_norm_epsilon === "number" ? config.layer_norm_epsilon : 1e-5,
    tied: await isTied(config, tensors, embedding),
    bias: names.has(`${first}in_proj.bias`),
    convBias: names.has(`${first}conv1d.bias`),
  };
}

/** What the config says; where it is silent, a head that is absent or equal to the embedding is tied. */
async function isTied(
  config: Readonly<Record<string, unknown>>,
  tensors: CheckpointTensors,
  embedding: string,
): Promise<boolean> {
  const stated = config.tie_word_embeddings ?? config.tie_embeddings;
  const present = tensors.names().includes("lm_head.weight");
  if (stated === true) return true;
  if (stated === false) {
    if (!present)
      throw new ModelError(
        'config.json says that the head is not tied, but the checkpoint lacks tensor "lm_head.weight"',
      );
    return false;
  }
  if (!present) return true;
  const [head, table] = [await tensors.read("lm_head.weight"), await tensors.read(embedding)];
  return head.length === table.length && head.every((v, i) => v === table[i]);
}

/** Refuses a config.json that contradicts the tensors or asks for arithmetic that Mamba-1 here does not do. */
function checkConfig(config: Readonly<Record<string, unknown>>, sizes: Sizes): void {
  const ssm = (config.ssm_cfg ?? {}) as Readonly<Record<string, unknown>>;
  const stated: [string, unknown, number | boolean][] = [
    ["hidden_size", config.hidden_size, sizes.dim],
    ["d_model", config.d_model, sizes.dim],
    ["num_hidden_layers", config.num_hidden_layers, sizes.layers],
    ["n_layer", config.n_layer, sizes.layers],
    ["state_size", config.state_size, sizes.state],
    ["ssm_cfg.d_state", ssm.d_state, sizes.state],
    ["conv_kernel", config.conv_kernel, sizes.conv],
    ["ssm_cfg.d_conv", ssm.d_conv, sizes.conv],
    ["intermediate_size", config.intermediate_size, sizes.inner],
    ["time_step_rank", config.time_step_rank, sizes.dtRank],
    ["use_bias", config.use_bias, sizes.bias],
    ["use_conv_bias", config.use_conv_bias, sizes.convBias],
  ];
  if (typeof config.vocab_size === "number" && config.vocab_size > sizes.vocab) {
    throw new ModelError(`config.json says vocab_size = ${config.vocab_size}, the embedding has ${sizes.vocab} rows`);
  }
  for (const [key, value, seen] of stated) {
    if (typeof value === typeof seen && value !== seen) {
      throw new ModelError(
        `config.json says ${key} = ${value}, the tensors say ${seen}: the two do not belong together`,
      );
    }
  }
  if (config.hidden_act !== undefined && config.hidden_act !== "silu" && config.hidden_act !== "swish") {
    throw new ModelError(
      `config.json says hidden_act = ${JSON.stringify(config.hidden_act)}; Mamba-1 here computes "silu" only`,
    );
  }
  if (config.rms_norm === false) {
    throw new ModelError(
      "config.json says rms_norm = false (LayerNorm); Mamba-1 language models here use RMSNorm only",
    );
  }
  if (typeof config.attn_layer_idx === "object" && (config.attn_layer_idx as unknown[] | null)?.length) {
    throw new ModelError("config.json lists attention layers (attn_layer_idx); Mamba-1 here has none");
  }
}

function blocks(h: Hyperparameters): Block[] {
  const size = (key: keyof Sizes): number => {
    const v = h[key];
    if (typeof v !== "number" || !Number.isInteger(v) || v < 1 || v > 2 ** 24) {
      throw new ModelError(
        `hyperparameter ${key} of a mamba package must be a whole number from 1 to 2^24, is ${JSON.stringify(v)}`,
      );
    }
    return v;
  };
  const flag = (key: keyof Sizes): boolean => {
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
