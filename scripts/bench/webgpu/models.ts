import type { Backend, CompileOptions, Encoding, Executable, TensorSpec } from "../../../kernels/backend.ts";
import { type Block, matrixNames, tensorShapes } from "../../../kernels/blocks.ts";
import {
  encodedBytes,
  f32ToBf16,
  GROUP,
  packQ4,
  packQ8,
  Q4_TILE_BYTES,
  Q8_TILE_BYTES,
  TILE_ROWS,
} from "../../../weights/layout.ts";
import { quantizeQ8 } from "../../../weights/quantize.ts";
import { quantizeQ4 } from "../../../weights/quantize-q4.ts";

/** Random Mamba models of any size whose state stays alive, the same for the same seed in Node and in browsers. */

export interface Sizes {
  readonly dim: number;
  readonly inner: number;
  readonly state: number;
  readonly conv: number;
  readonly dtRank: number;
  readonly vocab: number;
  readonly layers: number;
  readonly tied: boolean;
  /** biases of every projection and of the convolution. */
  readonly biases: boolean;
}

export const MAMBA_130M: Sizes = {
  dim: 768,
  inner: 1536,
  state: 16,
  conv: 4,
  dtRank: 48,
  vocab: 50280,
  layers: 24,
  tied: true,
  biases: false,
};

export interface RandomModel {
  readonly blocks: readonly Block[];
  readonly tensors: ReadonlyMap<string, TensorSpec>;
  readonly bytes: ReadonlyMap<string, Uint8Array>;
}

/** Uniform in [−1, 1). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 31 - 1;
  };
}

export function randomTokens(count: number, vocab: number, seed = 7): number[] {
  const random = randomNumbers(seed);
  return Array.from({ length: count }, () => Math.floor(((random() + 1) / 2) * vocab));
}

export function mambaBlocks(sizes: Sizes): Block[] {
  const { dim, inner, state, conv, dtRank, vocab, layers, tied, biases } = sizes;
  const bias = (name: string): { bias?: string } => (biases ? { bias: name } : {});
  const norm = (weight: string) => ({ type: "rms", weight, eps: 1e-5 }) as const;
  const mambas = Array.from(
    { length: layers },
    (_, i): Block => ({
      kind: "mamba",
      ...{ dim, inner, state, conv, dtRank },
      norm: norm(`${i}.norm`),
      inProj: { weight: `${i}.in`, ...bias(`${i}.in.bias`) },
      convWeight: `${i}.conv`,
      ...(biases ? { convBias: `${i}.conv.bias` } : {}),
      xProj: `${i}.x`,
      dtProj: { weight: `${i}.dt`, bias: `${i}.dt.bias` },
      A: `${i}.A`,
      D: `${i}.D`,
      outProj: { weight: `${i}.out`, ...bias(`${i}.out.bias`) },
    }),
  );
  return [
    { kind: "embedding", vocab, dim, weight: "embedding" },
    ...mambas,
    { kind: "norm", dim, norm: norm("norm") },
    { kind: "head", vocab, dim, proj: { weight: tied ? "embedding" : "head", ...bias("head.bias") } },
  ];
}

/** @param encodingOf of a matrix, by name */
export function randomModel(sizes: Sizes, encodingOf: Encoding | ((name: string) => Encoding), seed = 1): RandomModel {
  const random = randomNumbers(seed);
  const values = (name: string, shape: readonly number[]): Float32Array => randomTensor(name, shape, random);
  return modelOf(mambaBlocks(sizes), typeof encodingOf === "string" ? () => encodingOf : encodingOf, values);
}

/** A model of any blocks. Values are asked for once a tensor, in the order of the blocks. */
export function modelOf(
  blocks: readonly Block[],
  encodingOf: (name: string) => Encoding,
  valuesOf: (name: string, shape: readonly number[]) => Float32Array,
): RandomModel {
  const tensors = new Map<string, TensorSpec>();
  const bytes = new Map<string, Uint8Array>();
  for (const block of blocks) {
    const matrices = matrixNames(block);
    for (const [name, shape] of tensorShapes(block)) {
      if (tensors.has(name)) continue;
      const encoding = matrices.includes(name) ? encodingOf(name) : "f32";
      const encoded = encode(shape, valuesOf(name, shape), encoding);
      tensors.set(name, { shape, encoding, bytes: encoded.length });
      bytes.set(name, encoded);
    }
  }
  return { blocks, tensors, bytes };
}

/** Weights without much ado for blocks and tensors of any size, where only the speed or agreement of backends counts. */
export function quickModel(blocks: readonly Block[], tensors: ReadonlyMap<string, TensorSpec>): RandomModel {
  const random = randomNumbers(11);
  const bytes = new Map<string, Uint8Array>();
  for (const block of blocks) {
    for (const [name, shape] of tensorShapes(block)) {
      const spec = tensors.get(name)!;
      if (bytes.has(name)) continue;
      const role = block.kind === "mamba" ? roleOf(block, name) : "";
      const f32 = () => new Uint8Array(randomTensor(role || name, shape, random).buffer);
      bytes.set(name, spec.encoding === "f32" ? f32() : randomTiles(spec));
    }
  }
  return { blocks, tensors, bytes };
}

/** The ending by which randomTensor knows what a tensor of a Mamba block is for. */
function roleOf(block: Block & { kind: "mamba" }, name: string): string {
  if (name === block.A) return ".A";
  if (name === block.D) return ".D";
  if (name === block.norm.weight) return ".norm";
  if (name === block.dtProj.bias) return ".dt.bias";
  return name === block.convBias ? ".bias" : "";
}

/** Blocks and tensors of a Mamba with one encoding for its matrices. */
export function tensorsOf(sizes: Sizes, encoding: Encoding): Pick<RandomModel, "blocks" | "tensors"> {
  const blocks = mambaBlocks(sizes);
  const matrices = new Set(blocks.flatMap(matrixNames));
  const tensors = new Map<string, TensorSpec>();
  for (const [name, shape] of blocks.flatMap((b) => [...tensorShapes(b)])) {
    const encoded = matrices.has(name) ? encoding : "f32";
    tensors.set(name, { shape, encoding: encoded, bytes: encodedBytes(shape, encoded) });
  }
  return { blocks, tensors };
}

/** Random integers with one scale for all, about 1/sqrt(cols) in size. */
function randomTiles(spec: TensorSpec): Uint8Array {
  const bytes = new Uint8Array(spec.bytes);
  const words = new Uint32Array(bytes.buffer);
  for (let i = 0, x = 0x9e3779b9; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    // The q8 integer −128 does not exist.
    words[i] = spec.encoding === "q8" ? x & 0x7f7f7f7f : x;
  }
  const [tile, spread] = spec.encoding === "q8" ? [Q8_TILE_BYTES, 74] : [Q4_TILE_BYTES, 4.6];
  const scale = f32ToBf16(1 / (spread * Math.sqrt(Math.max(spec.shape[1] ?? 1, GROUP))));
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += tile) {
    for (let row = 0; row < TILE_ROWS; row++) view.setUint16(at + 2 * row, scale, true);
    if (spec.encoding === "q8") for (let i = 17; i < tile; i += 2) bytes[at + i] = 256 - Math.max(1, bytes[at + i]!);
  }
  return bytes;
}

export function encode(shape: readonly number[], values: Float32Array, encoding: Encoding): Uint8Array {
  const [rows = 1, cols = 1] = shape;
  if (encoding === "q8") return packQ8(quantizeQ8(rows, cols, values));
  if (encoding === "q4") return packQ4(quantizeQ4(rows, cols, values));
  return new Uint8Array(values.buffer);
}

/** Values of the size that a trained model has. */
function randomTensor(name: string, shape: readonly number[], random: () => number): Float32Array {
  const length = shape.reduce((a, b) => a * b, 1);
  const fill = (value: () => number): Float32Array => Float32Array.from({ length }, value);
  if (name.endsWith("norm")) return fill(() => 1 + 0.5 * random());
  if (name.endsWith(".A")) return fill(() => -0.05 - 8 * Math.abs(random()));
  if (name.endsWith(".D")) return fill(() => 1 + random());
  if (name.endsWith(".dt.bias")) return fill(() => -3 + 2 * random());
  if (name.endsWith("bias")) return fill(() => 0.3 * random());
  if (name === "embedding") return fill(random);
  const cols = shape[1] ?? 1;
  return fill(() => (2 * random()) / Math.sqrt(cols));
}

export async function compileModel<E extends Executable>(
  backend: Omit<Backend, "compile"> & { compile(...args: Parameters<Backend["compile"]>): Promise<E> },
  model: RandomModel,
  options?: CompileOptions,
): Promise<E> {
  const executable = await backend.compile(model.blocks, model.tensors, options);
  for (const [name, bytes] of model.bytes) executable.load(name, 0, bytes);
  return executable;
}

/** max|a − b| / max|b| */
export function distance(a: Float32Array, b: Float32Array): number {
  let difference = 0;
  let largest = 0;
  a.forEach((v, i) => {
    if (!(Math.abs(v - b[i]!) <= difference)) difference = Math.abs(v - b[i]!);
    largest = Math.max(largest, Math.abs(b[i]!));
  });
  return a.length === b.length ? difference / largest : Number.NaN;
}
