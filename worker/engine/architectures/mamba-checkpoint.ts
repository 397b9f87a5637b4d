import { type Block, matrixNames, tensorShapes } from "../../../kernels/blocks.ts";
import type { CheckpointTensors } from "../../../weights/checkpoint.ts";
import { ModelError } from "../errors.ts";
import type { CanonicalTensor } from "./index.ts";
import type { MambaSizes } from "./mamba.ts";

/** How checkpoints of state-spaces/mamba and of Hugging Face transformers spell what mamba.ts calls otherwise. */

type Settings = Readonly<Record<string, unknown>>;

const EMBEDDINGS = ["embeddings.weight", "embedding.weight"];

function prefixOf(tensors: CheckpointTensors): string | undefined {
  const names = new Set(tensors.names());
  return ["backbone.", ""].find((p) => EMBEDDINGS.some((e) => names.has(p + e)));
}

function embeddingOf(tensors: CheckpointTensors, prefix: string): string {
  const names = new Set(tensors.names());
  return prefix + EMBEDDINGS.find((e) => names.has(prefix + e));
}

export function isMamba(config: Settings, tensors: CheckpointTensors): boolean {
  const type = config.model_type;
  const ssm = config.ssm_cfg as { layer?: unknown } | undefined;
  if (type !== undefined && type !== "mamba") return false;
  if (ssm?.layer !== undefined && ssm.layer !== "Mamba1") return false;
  const prefix = prefixOf(tensors);
  return prefix !== undefined && tensors.names().includes(`${prefix}layers.0.mixer.x_proj.weight`);
}

/** @throws ModelError when a tensor is missing, or config.json says other than the tensors */
export async function readMamba(config: Settings, tensors: CheckpointTensors): Promise<MambaSizes> {
  const prefix = prefixOf(tensors) ?? "";
  const sizes = await readSizes(config, tensors, prefix, embeddingOf(tensors, prefix));
  checkConfig(config, sizes);
  return sizes;
}

async function readSizes(
  config: Settings,
  tensors: CheckpointTensors,
  prefix: string,
  embedding: string,
): Promise<MambaSizes> {
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
async function isTied(config: Settings, tensors: CheckpointTensors, embedding: string): Promise<boolean> {
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
function checkConfig(config: Settings, sizes: MambaSizes): void {
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

/** The package's tensors, in the order of the blocks. @throws ModelError naming one that is missing, misshapen or unknown */
export function mambaTensors(
  tensors: CheckpointTensors,
  blocks: readonly Block[],
  sizes: Pick<MambaSizes, "layers" | "tied">,
): CanonicalTensor[] {
  const prefix = prefixOf(tensors) ?? "";
  const embedding = embeddingOf(tensors, prefix);
  const names = new Set(tensors.names());
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
  for (const block of blocks) {
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
  return canonical;
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
