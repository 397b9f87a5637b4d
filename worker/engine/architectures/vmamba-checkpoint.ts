import { type Block, matrixNames, tensorShapes } from "../../../kernels/blocks.ts";
import { SCANS } from "../../../kernels/image-blocks.ts";
import type { CheckpointTensors } from "../../../weights/checkpoint.ts";
import { ModelError } from "../errors.ts";
import type { CanonicalTensor } from "./index.ts";
import type { VmambaSizes } from "./vmamba.ts";

/** How the official repository's checkpoints spell what vmamba.ts calls otherwise, in its newer and its older versions. */

type Settings = Readonly<Record<string, unknown>>;

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
class Keys {
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

/** @throws ModelError when config.json says other than the tensors, or asks for what is not computed here */
export function readVmamba(config: Settings, tensors: CheckpointTensors): VmambaSizes {
  const keys = new Keys(tensors);
  const size = (name: string, axis: number): number => keys.shape(name)[axis] ?? 0;
  const count = (pattern: RegExp): number =>
    1 + Math.max(-1, ...keys.names().map((n) => Number(pattern.exec(n)?.[1] ?? -1)));
  const stages = Array.from({ length: count(/^layers\.(\d+)\.blocks\./) }, (_, s) => `layers.${s}.blocks`);
  const list = (value: (blocks: string, stage: number) => number): number[] => stages.map(value);
  const dims = list((b) => size(`${b}.0.norm.weight`, 0));
  const inners = list((b) => size(`${b}.0.op.out_norm.weight`, 0));
  const state = size("layers.0.blocks.0.op.A_logs", 1);
  const dtRanks = list((b) => {
    const shape = keys.shape(`${b}.0.op.x_proj.weight`);
    return shape.slice(0, -1).reduce((a, n) => a * n, 1) / SCANS - 2 * state;
  });
  const gated = size("layers.0.blocks.0.op.in_proj.weight", 0) === 2 * inners[0]!;
  const stem = keys.shape("patch_embed.0.weight")[2] === 4 ? "patch" : "conv";
  const hasMlp = keys.has("layers.0.blocks.0.mlp.fc1.weight");
  const sizes: VmambaSizes = {
    channels: size("patch_embed.0.weight", 1),
    classes: size("classifier.head.weight", 0),
    dims: dims.join(" "),
    depths: list((_, s) => count(new RegExp(`^layers\\.${s}\\.blocks\\.(\\d+)\\.`))).join(" "),
    inners: inners.join(" "),
    dtRanks: dtRanks.join(" "),
    ...(hasMlp && { hiddens: list((b) => size(`${b}.0.mlp.fc1.weight`, 0)).join(" ") }),
    state,
    gated,
    convBias: keys.has("layers.0.blocks.0.op.conv2d.bias"),
    stem,
    eps: 1e-5,
  };
  checkConfig(config, sizes, dims[0]!);
  return sizes;
}

function checkConfig(config: Settings, sizes: VmambaSizes, dim: number): void {
  const stated: [string, unknown, unknown][] = [
    ["num_classes", config.num_classes, sizes.classes],
    ["in_chans", config.in_chans, sizes.channels],
    ["ssm_d_state", config.ssm_d_state, sizes.state],
    ["ssm_conv_bias", config.ssm_conv_bias, sizes.convBias],
    ["depths", Array.isArray(config.depths) ? config.depths.join(" ") : undefined, sizes.depths],
    ["dims", Array.isArray(config.dims) ? config.dims.join(" ") : undefined, sizes.dims],
    ["dims", typeof config.dims === "number" ? config.dims : undefined, dim],
  ];
  for (const [key, value, seen] of stated) {
    if (value === undefined || value === seen) continue;
    throw new ModelError(`config.json says ${key} = ${value}, the tensors say ${seen}: the two do not belong together`);
  }
  const only: [string, readonly unknown[]][] = [
    ["ssm_act_layer", ["silu"]],
    ["mlp_act_layer", ["gelu"]],
    ["ssm_conv", [3]],
    ["patch_norm", [true]],
    ["posembed", [false]],
    ["gmlp", [false]],
    ["forward_type", ["v0", "v0seq", "v05", "v05_noz"]],
    ["norm_layer", ["ln", "ln2d"]],
    ["patchembed_version", ["v1", "v2"]],
    ["downsample_version", ["v1", "v3"]],
  ];
  for (const [key, allowed] of only) {
    if (config[key] === undefined || allowed.includes(config[key])) continue;
    throw new ModelError(
      `config.json says ${key} = ${JSON.stringify(config[key])}; VMamba here computes ${allowed.map((v) => JSON.stringify(v)).join(" or ")} only`,
    );
  }
}

/** Where one of our tensors comes from. */
interface Source {
  readonly key: string;
  /** as the checkpoint may have it: sizes of 1 do not count. */
  readonly shape: readonly number[];
  make?(values: Float32Array): Float32Array;
}

/**
 * The stem's convolutions have few weights, and what is rounded in them goes through everything behind: of what int8 activations do to the
 * logits of the golden v2 model, they alone are a third (in squares), of 31 matrices.
 */
export function staysF32(tensor: string): boolean {
  return tensor.startsWith("stem.");
}

/** The package's tensors, in the order of the blocks. @throws ModelError naming one that is missing, misshapen or unknown */
export function vmambaTensors(
  tensors: CheckpointTensors,
  blocks: readonly Block[],
  patchStem: boolean,
): CanonicalTensor[] {
  const keys = new Keys(tensors);
  const used = new Set<string>();
  const canonical: CanonicalTensor[] = [];
  for (const block of blocks) {
    const matrices = new Set(matrixNames(block));
    for (const [name, shape] of tensorShapes(block)) {
      const source = sourceOf(name, shape, block, patchStem);
      checkShape(keys, source);
      used.add(source.key);
      canonical.push({
        name,
        shape,
        matrix: matrices.has(name) && !staysF32(name),
        read: async () => {
          const values = await keys.read(source.key);
          return source.make === undefined ? values : source.make(values);
        },
      });
    }
  }
  const unknown = keys.names().filter((n) => !used.has(n));
  if (unknown.length > 0) {
    throw new ModelError(
      `the checkpoint has ${unknown.length} tensors that VMamba v0 and v2 do not have, such as "${unknown[0]}": use a version that knows them`,
    );
  }
  return canonical;
}

/** (4, inner, R) and (4 · inner, R) are the same bytes, as are (rows, cols) and (rows, cols, 1, 1). */
function checkShape(keys: Keys, { key, shape }: Source): void {
  const seen = keys.shape(key);
  const plain = (sizes: readonly number[]): string => sizes.filter((n) => n !== 1).join();
  const joined = [seen[0]! * (seen[1] ?? 1), ...seen.slice(2)];
  if (plain(seen) === plain(shape) || plain(joined) === plain(shape)) return;
  throw new ModelError(
    `tensor "${key}" of the checkpoint must have shape (${shape.join(", ")}), has (${seen.join(", ")})`,
  );
}

function sourceOf(name: string, shape: readonly number[], block: Block, patchStem: boolean): Source {
  const [, stem, stemPart] = /^stem(?:\.(\d))?\.(conv\.|norm\.)/.exec(name) ?? [];
  const ending = name.slice(name.lastIndexOf(".") + 1);
  if (stemPart !== undefined) {
    const index = 5 * Number(stem ?? 0) + (stemPart === "conv." ? 0 : 2);
    return convolution(`patch_embed.${index}.${ending}`, shape, block);
  }
  if (name.startsWith("norm_f.")) return { key: `classifier.norm.${ending}`, shape };
  if (name.startsWith("head.")) return { key: `classifier.head.${ending}`, shape };
  const [, stage, part] = /^stages\.(\d+)\.(.+)$/.exec(name) as unknown as [string, string, string];
  if (part.startsWith("downsample.")) {
    const isNorm = part.startsWith("downsample.norm.");
    const index = patchStem ? (isNorm ? 1 : 2) : isNorm ? 3 : 1;
    return convolution(`layers.${stage}.downsample.${index}.${ending}`, shape, block);
  }
  const [, index, rest] = /^(\d+)\.(.+)$/.exec(part) as unknown as [string, string, string];
  const b = `layers.${stage}.blocks.${index}`;
  const [, scan, scanPart] = /^scans\.(\d)\.(.+)$/.exec(rest) ?? [];
  if (scan !== undefined) return scanSource(`${b}.op`, Number(scan), scanPart!, shape);
  if (rest === "D") {
    return { key: `${b}.op.Ds`, shape: [SCANS * shape[0]!], make: sumOfScans };
  }
  const moved: Readonly<Record<string, string>> = {
    "norm.weight": "norm.weight",
    "norm.bias": "norm.bias",
    "mlp.norm.weight": "norm2.weight",
    "mlp.norm.bias": "norm2.bias",
    "mlp.up.weight": "mlp.fc1.weight",
    "mlp.up.bias": "mlp.fc1.bias",
    "mlp.down.weight": "mlp.fc2.weight",
    "mlp.down.bias": "mlp.fc2.bias",
    "conv.weight": "op.conv2d.weight",
    "conv.bias": "op.conv2d.bias",
  };
  return { key: `${b}.${moved[rest] ?? `op.${rest}`}`, shape: rest === "conv.weight" ? [shape[0]!, 3, 3] : shape };
}

/** One of four runs of rows. */
function scanSource(op: string, scan: number, part: string, shape: readonly number[]): Source {
  const length = shape.reduce((a, b) => a * b, 1);
  const own = (values: Float32Array): Float32Array => values.slice(scan * length, (scan + 1) * length);
  const [rows, ...rest] = shape;
  const all = [SCANS * rows!, ...rest];
  if (part === "A") return { key: `${op}.A_logs`, shape: all, make: (v) => own(v).map((x) => -Math.exp(x)) };
  return { key: `${op}.dt_projs.${part.slice(part.lastIndexOf(".") + 1)}`, shape: all, make: own };
}

/** The four scans' D multiply the same x. */
function sumOfScans(values: Float32Array): Float32Array {
  const inner = values.length / SCANS;
  return Float32Array.from({ length: inner }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < SCANS; k++) sum += values[k * inner + i]!;
    return sum;
  });
}

/** (dim, inputs, k, k) → (dim, k · k · inputs). */
function convolution(key: string, shape: readonly number[], block: Block): Source {
  if (block.kind !== "conv2d" || shape.length === 1) return { key, shape };
  const { dim, inputs, kernel } = block;
  const taps = kernel * kernel;
  const make = (v: Float32Array): Float32Array =>
    Float32Array.from({ length: v.length }, (_, i) => {
      const [row, column] = [Math.floor(i / (taps * inputs)), i % (taps * inputs)];
      return v[(row * inputs + (column % inputs)) * taps + Math.floor(column / inputs)]!;
    });
  return { key, shape: [dim, inputs, kernel, kernel], make };
}
