import type { CheckpointTensors } from "../../../weights/checkpoint.ts";
import { ModelError } from "../errors.ts";
import type { LayerKind } from "./in-context.ts";

/** What the keys of the official repository's checkpoints say: which layers there are, and where. */

/** Never read: GPT-2's token table, and Mamba's. */
const UNUSED = /^_backbone\.(wte|embedding)\.weight$/;
/**
 * Causal masks, which are the same for every model: older versions of transformers saved GPT-2's, and before PyTorch 2 the official
 * hybrids had one too.
 */
const MASK = /^(_backbone\.(?:h\.\d+\.attn|layers\.\d+\.mixer))\.(?:masked_)?bias$/;

/** Whether a tensor says nothing that the layers have need of. */
export function isUnused(name: string, tensors: CheckpointTensors): boolean {
  const attention = MASK.exec(name)?.[1];
  return UNUSED.test(name) || (attention !== undefined && tensors.names().includes(`${attention}.c_attn.weight`));
}

/** A layer of ours: where its tensors are in the checkpoint. */
export interface Layer {
  readonly kind: LayerKind;
  readonly key: string;
}

/**
 * The official code builds models of tokens too (vocab_size above 0): an embedding for a read-in, without a bias, which the read-out shares.
 * @throws ModelError on such a checkpoint, or where config.json says that it is one and the tensors do not
 */
export function refuseTokens(vocab: unknown, tensors: CheckpointTensors): void {
  const stated = typeof vocab === "number" && vocab > 0;
  if (tensors.names().includes("_read_in.bias")) {
    if (!stated) return;
    throw new ModelError(
      `config.json says vocab_size = ${vocab}, a model of tokens, and "_read_in.bias" of the checkpoint is of one that is fed vectors: the two do not belong together; vectors are vocab_size = -1`,
    );
  }
  const [rows = 0, dim = 0] = shapeOf(tensors, "_read_in.weight");
  throw new ModelError(
    `the checkpoint is of a model of tokens: "_read_in.weight" is an embedding of ${rows} tokens, without "_read_in.bias" (vocab_size ${stated ? vocab : rows}). ` +
      "Models of mambaformer-icl are supported where they are fed vectors (vocab_size -1), models of tokens where they are Mamba-1. " +
      `Fed one-hot vectors it computes the same: save "_read_in.weight" transposed (${dim}, ${rows}), "_read_out.weight" (${rows}, ${dim}), zeros as "_read_in.bias" (${dim}) and "_read_out.bias" (${rows}), ` +
      `and write n_dims ${rows}, vocab_size -1 and interleave false into config.json`,
  );
}

export function isGpt2(name: string): boolean {
  return name.startsWith("_backbone.h.");
}

/** @throws ModelError when a layer is of none of the known kinds */
export function layersOf(tensors: CheckpointTensors): Layer[] {
  const names = new Set(tensors.names());
  const count = (pattern: RegExp): number =>
    1 + Math.max(-1, ...[...names].map((n) => Number(pattern.exec(n)?.[1] ?? -1)));
  const gpt2 = Array.from({ length: count(/^_backbone\.h\.(\d+)\./) }, (_, i) => `_backbone.h.${i}`);
  if (gpt2.length > 0) {
    return gpt2.flatMap((key): Layer[] => [
      { kind: "attention", key },
      { kind: "mlp", key },
    ]);
  }
  const layers = Array.from({ length: count(/^_backbone\.layers\.(\d+)\./) }, (_, i): Layer => {
    const key = `_backbone.layers.${i}.mixer`;
    if (names.has(`${key}.c_attn.weight`)) return { kind: "attention", key };
    if (names.has(`${key}.S4DMamba.D`)) return { kind: "s4-mamba", key };
    if (names.has(`${key}.s4.D`)) return { kind: "s4d", key };
    if (names.has(`${key}.x_proj.weight`)) return { kind: "mamba", key };
    throw new ModelError(
      `layer ${i} of the checkpoint has none of the mixers c_attn, S4DMamba, s4 and x_proj: it is incomplete or of another architecture`,
    );
  });
  if (layers.length === 0) {
    const other = [...names].filter(
      (name) => !name.startsWith("_read_") && !UNUSED.test(name) && !name.startsWith("_backbone.norm_f."),
    );
    throw new ModelError(
      `between read-in and read-out the checkpoint has ${other.length === 0 ? "no layers" : `no layers that are known, but "${other[0]}"`}: of mambaformer-icl the families gpt2, mamba, s4-mamba, s4d and tf-mamba can be read`,
    );
  }
  return layers;
}

/** What the official code calls models of such layers. */
export function familyOf(layers: readonly Layer[]): string {
  if (layers.some(({ key }) => isGpt2(key))) return "gpt2";
  return layers.some(({ kind }) => kind === "attention") ? "tf-mamba" : layers[0]!.kind;
}

/** The official code's names of families; others say nothing here. */
const FAMILIES = ["gpt2", "mamba", "s4-mamba", "s4d", "tf-mamba", "rnn", "lstm", "mlp-mixer"];

/** @throws ModelError where config.json names another family than the layers are of */
export function refuseOtherFamily(stated: unknown, layers: readonly Layer[]): void {
  const seen = familyOf(layers);
  // Without mixed_attn the official "tf-mamba" is Mamba alone.
  if (stated === seen || (stated === "tf-mamba" && seen === "mamba") || !FAMILIES.includes(stated as string)) return;
  const kinds = [...new Set(layers.map(({ kind }) => kind))].join(" and ");
  throw new ModelError(
    `config.json says family = "${stated}", and the tensors are of "${seen}", layers of ${kinds}: the two do not belong together; ` +
      "put the config.json of this checkpoint beside it",
  );
}

/** The name of the learned positions. */
export function positionTable(tensors: CheckpointTensors): string | undefined {
  return ["wpe.weight", "_backbone.wpe.weight"].find((name) => tensors.names().includes(name));
}

/** @throws ModelError when there is none of that name */
export function shapeOf(tensors: CheckpointTensors, key: string): readonly number[] {
  if (!tensors.names().includes(key)) throw new ModelError(`the checkpoint lacks tensor "${key}"`);
  return tensors.shape(key);
}
