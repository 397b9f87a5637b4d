import { type Block, matrixNames, tensorShapes } from "../../../kernels/blocks.ts";
import { SCANS } from "../../../kernels/image-blocks.ts";
import type { CheckpointTensors } from "../../../weights/checkpoint.ts";
import { ModelError } from "../errors.ts";
import type { CanonicalTensor } from "./index.ts";
import { VmambaKeys } from "./vmamba-keys.ts";

/** Where the tensors of vmamba.ts' blocks come from in a checkpoint of the official repository. */

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
  const keys = new VmambaKeys(tensors);
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
function checkShape(keys: VmambaKeys, { key, shape }: Source): void {
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
