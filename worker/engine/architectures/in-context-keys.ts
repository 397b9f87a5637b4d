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
  if (layers.length === 0) throw new ModelError("the checkpoint has a read-in and a read-out, but no layers between");
  return layers;
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
