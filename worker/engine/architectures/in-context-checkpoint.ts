import { type Block, matrixNames, tensorShapes } from "../../../kernels/blocks.ts";
import type { CheckpointTensors } from "../../../weights/checkpoint.ts";
import { ModelError } from "../errors.ts";
import type { InContextSizes, LayerKind } from "./in-context.ts";
import {
  isGpt2,
  isUnused,
  type Layer,
  layersOf,
  positionTable,
  refuseOtherFamily,
  refuseTokens,
  shapeOf,
} from "./in-context-keys.ts";
import type { CanonicalTensor } from "./index.ts";
import { discretize } from "./s4d.ts";

/** How the official repository's checkpoints spell what in-context.ts calls otherwise. */

/** Positions of models without learned ones, where config.json does not say: 511 examples and a query, the study's longest prompts. */
const DEFAULT_POSITIONS = 1024;
/** The official code's hybrids have so many heads whatever config.json says, and GPT-2 where n_head is not there. */
const HEADS = 8;

type Settings = Readonly<Record<string, unknown>>;

/** @throws ModelError when a layer is of none of the known kinds, it is fed tokens, or config.json says other than the tensors */
export function readInContext(config: Settings, tensors: CheckpointTensors): InContextSizes {
  refuseTokens(config.vocab_size, tensors);
  const layers = layersOf(tensors);
  refuseOtherFamily(config.family, layers);
  const first = (kind: LayerKind): string | undefined => layers.find((l) => l.kind === kind)?.key;
  const size = (key: string, axis: number): number => shapeOf(tensors, key)[axis] ?? 0;
  const [dim, inputs] = [size("_read_in.weight", 0), size("_read_in.weight", 1)];
  const [mlp, mamba, s4Mamba, s4d] = [first("mlp"), first("mamba"), first("s4-mamba"), first("s4d")];
  const gated = mamba ?? s4Mamba;
  const kernel = s4Mamba === undefined ? s4d && `${s4d}.s4` : `${s4Mamba}.S4DMamba`;
  const table = positionTable(tensors);
  const points = number(config, "n_positions");
  const sizes: InContextSizes = {
    inputs,
    outputs: size("_read_out.weight", 0),
    dim,
    layers: layers.map((l) => l.kind).join(" "),
    positions: table === undefined ? (points === undefined ? DEFAULT_POSITIONS : 2 * points) : size(table, 0),
    learnedPositions: table !== undefined,
    heads: headsOf(first("attention"), dim, config),
    hidden: mlp === undefined ? 0 : size(`${mlp}.mlp.c_fc.weight`, 1),
    inner: gated === undefined ? 0 : size(`${gated}.conv1d.weight`, 0),
    state:
      mamba === undefined ? (kernel === undefined ? 0 : size(`${kernel}.kernel.A_imag`, 1)) : size(`${mamba}.A_log`, 1),
    conv: gated === undefined ? 0 : size(`${gated}.conv1d.weight`, 2),
    dtRank: mamba === undefined ? 0 : size(`${mamba}.dt_proj.weight`, 1),
    eps: number(config, "layer_norm_epsilon") ?? 1e-5,
    ...biasesOf(layers, tensors),
    ...(interleaved(config) ? {} : { interleave: false }),
  };
  for (const [key, seen] of [
    ["n_dims", inputs],
    ["n_embd", dim],
  ] as const) {
    const stated = number(config, key);
    if (stated !== undefined && stated !== seen) {
      throw new ModelError(
        `config.json says ${key} = ${stated}, the tensors say ${seen}: the two do not belong together`,
      );
    }
  }
  return sizes;
}

/**
 * Which layers have biases, where that is other than the official models have it. They were built with bias, conv_bias and the attention's
 * bias of their constructors as these are; one layer that has a bias, where others lack it, shows as a tensor that is missing.
 */
function biasesOf(layers: readonly Layer[], tensors: CheckpointTensors): Partial<InContextSizes> {
  const names = new Set(tensors.names());
  const has = (part: string, ...kinds: LayerKind[]): boolean | undefined => {
    const of = layers.filter(({ kind, key }) => kinds.includes(kind) && !isGpt2(key));
    return of.length === 0 ? undefined : of.some(({ key }) => names.has(`${key}.${part}`));
  };
  const projections = ["in_proj.bias", "out_proj.bias"].some((part) => has(part, "mamba", "s4-mamba"));
  return {
    ...(projections && { bias: true }),
    ...(has("conv1d.bias", "mamba", "s4-mamba") === false && { convBias: false }),
    ...(["c_attn.bias", "c_proj.bias"].every((part) => has(part, "attention") === false) && { attentionBias: false }),
  };
}

/** @throws ModelError when it is neither true nor false */
function interleaved({ interleave = true }: Settings): boolean {
  if (typeof interleave === "boolean") return interleave;
  throw new ModelError(
    `config.json says interleave = ${JSON.stringify(interleave)}: it must be true (prompts x1, y1, x2, …) or false (vectors one after another)`,
  );
}

/**
 * Of the first attention layer; 0 without one. n_head counts for GPT-2 alone.
 * @throws ModelError when the hybrids' number does not divide the width
 */
function headsOf(attention: string | undefined, dim: number, config: Settings): number {
  if (attention === undefined) return 0;
  if (isGpt2(attention)) return number(config, "n_head") ?? HEADS;
  if (dim % HEADS !== 0) {
    throw new ModelError(
      `the checkpoint's width n_embd is ${dim}: attention of the hybrids has ${HEADS} heads in the official code, whatever n_head says, and their number must divide the width; is it from other code?`,
    );
  }
  return HEADS;
}

/** The package's tensors, in the order of the blocks. @throws ModelError naming one that is missing, misshapen or unknown */
export function inContextTensors(tensors: CheckpointTensors, blocks: readonly Block[]): CanonicalTensor[] {
  const layers = layersOf(tensors);
  const used = new Set<string>();
  const canonical: CanonicalTensor[] = [];
  for (const block of blocks) {
    const matrices = new Set(matrixNames(block));
    for (const [name, shape] of tensorShapes(block)) {
      const source = sourceOf(name, shape, layers, tensors);
      for (const [key, expected] of source.keys) {
        const seen = shapeOf(tensors, key);
        if (seen.join() !== expected.join()) {
          throw new ModelError(
            `tensor "${key}" of the checkpoint must have shape (${expected.join(", ")}), has (${seen.join(", ")})`,
          );
        }
        used.add(key);
      }
      canonical.push({
        name,
        shape,
        matrix: matrices.has(name),
        read: async () => source.make(await Promise.all([...source.keys.keys()].map((key) => tensors.read(key)))),
      });
    }
  }
  const unknown = tensors.names().filter((n) => !used.has(n) && !isUnused(n, tensors));
  if (unknown.length > 0) {
    throw new ModelError(
      `the checkpoint has ${unknown.length} tensors that no known in-context model has, such as "${unknown[0]}": use a version that knows them`,
    );
  }
  return canonical;
}

/** Tensors of the checkpoint, with the shapes they must have, and how they become one of ours. */
interface Source {
  readonly keys: ReadonlyMap<string, readonly number[]>;
  make(values: readonly Float32Array[]): Float32Array;
}

function sourceOf(
  name: string,
  shape: readonly number[],
  layers: readonly Layer[],
  tensors: CheckpointTensors,
): Source {
  const plain = (key: string, expected = shape): Source => ({ keys: new Map([[key, expected]]), make: ([v]) => v! });
  const [, index, part] = /^layers\.(\d+)\.(.+)$/.exec(name) ?? [];
  const gpt2 = tensors.names().some(isGpt2);
  if (index === undefined || part === undefined) {
    if (name.startsWith("norm_f.")) return plain(`_backbone.${gpt2 ? "ln_f" : "norm_f"}.${name.slice(7)}`);
    if (name === "positions.weight") return plain(positionTable(tensors) ?? "wpe.weight");
    return plain(`_${name}`);
  }
  const { kind, key } = layers[Number(index)]!;
  const rest = part.slice(part.indexOf(".") + 1); // weight or bias
  if (part.startsWith("norm.")) {
    return gpt2
      ? plain(`${key}.${kind === "mlp" ? "ln_2" : "ln_1"}.${rest}`)
      : plain(`${key.replace(/\.mixer$/, "")}.norm.${rest}`);
  }
  if (kind === "attention" || kind === "mlp") {
    const module = kind === "mlp" ? ".mlp" : gpt2 ? ".attn" : "";
    const theirs = { qkv: "c_attn", proj: "c_proj", up: "c_fc", down: "c_proj" }[part.slice(0, part.indexOf("."))]!;
    const full = `${key}${module}.${theirs}.${rest}`;
    return gpt2 && rest === "weight" ? transposed(full, shape) : plain(full);
  }
  if (kind === "s4d" || kind === "s4-mamba") {
    const s4 = `${key}.${kind === "s4d" ? "s4" : "S4DMamba"}`;
    if (part === "D") return plain(`${s4}.D`);
    if (part === "decay" || part === "C") return discretized(part, s4, shape);
    if (part === "mix.weight") return plain(`${s4}.output_linear.0.weight`, [...shape, 1]);
    if (part === "mix.bias") return plain(`${s4}.output_linear.0.bias`);
  }
  if (part === "conv.weight") return plain(`${key}.conv1d.weight`, [shape[0]!, 1, shape[1]!]);
  if (part === "conv.bias") return plain(`${key}.conv1d.bias`);
  if (part === "A") {
    return { keys: new Map([[`${key}.A_log`, shape]]), make: ([v]) => v!.map((x) => -Math.exp(x)) };
  }
  return plain(`${key}.${part}`);
}

/** GPT-2's Conv1D holds its matrices (cols, rows). */
function transposed(key: string, [rows = 0, cols = 0]: readonly number[]): Source {
  return {
    keys: new Map([[key, [cols, rows]]]),
    make: ([v]) => Float32Array.from({ length: rows * cols }, (_, i) => v![(i % cols) * rows + Math.floor(i / cols)]!),
  };
}

function discretized(part: "decay" | "C", s4: string, [channels = 0, width = 0]: readonly number[]): Source {
  const state = width / 2;
  const keys = new Map([
    [`${s4}.kernel.log_dt`, [channels]],
    [`${s4}.kernel.log_A_real`, [channels, state]],
    [`${s4}.kernel.A_imag`, [channels, state]],
    [`${s4}.kernel.C`, [channels, state, 2]],
  ]);
  return { keys, make: ([logDt, logReal, imag, C]) => discretize(logDt!, logReal!, imag!, C!)[part] };
}

/** A setting that is a whole or other number. */
function number(config: Settings, key: string): number | undefined {
  const value = config[key];
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}
