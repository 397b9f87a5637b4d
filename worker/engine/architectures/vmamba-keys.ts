import type { CheckpointTensors } from "../../../weights/checkpoint.ts";
import { ModelError } from "../errors.ts";

/** The keys of the official repository's checkpoints, in its newer and its older versions. */

/** Older spellings, and what they became. */
const RENAMED: readonly (readonly [RegExp, string])[] = [
  [/^patch_embed\.proj\./, "patch_embed.0."],
  [/^patch_embed\.norm\./, "patch_embed.2."],
  [/\.ln_1\./, ".norm."],
  [/\.ln_2\./, ".norm2."],
  [/\.self_attention\./, ".op."],
  [/\.downsample\.norm\./, ".downsample.1."],
  [/\.downsample\.reduction\./, ".downsample.2."],
  [/^head\./, "classifier.head."],
  [/^norm\./, "classifier.norm."],
  [/\.(x_proj|dt_projs)_weight$/, ".$1.weight"],
  [/\.dt_projs_bias$/, ".dt_projs.bias"],
];

/** The newest spelling of a key. */
function modern(key: string): string {
  return RENAMED.reduce((name, [pattern, to]) => name.replace(pattern, to), key);
}

export function isVmamba(tensors: CheckpointTensors): boolean {
  const names = new Set(tensors.names().map(modern));
  return names.has("patch_embed.0.weight") && names.has("layers.0.blocks.0.op.x_proj.weight");
}

/** A checkpoint by its tensors' newest names. */
export class VmambaKeys {
  readonly #tensors: CheckpointTensors;
  readonly #keys: ReadonlyMap<string, string>;

  constructor(tensors: CheckpointTensors) {
    this.#tensors = tensors;
    this.#keys = new Map(tensors.names().map((name) => [modern(name), name]));
  }

  has(name: string): boolean {
    return this.#keys.has(name);
  }

  names(): string[] {
    return [...this.#keys.keys()];
  }

  /** @throws ModelError when it is missing */
  shape(name: string): readonly number[] {
    return this.#tensors.shape(this.#key(name));
  }

  /** @throws ModelError when it is missing */
  async read(name: string): Promise<Float32Array> {
    return this.#tensors.read(this.#key(name));
  }

  #key(name: string): string {
    const key = this.#keys.get(name);
    if (key === undefined) throw new ModelError(`the checkpoint lacks tensor "${name}"`);
    return key;
  }
}
