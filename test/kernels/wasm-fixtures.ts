import type {
  Backend,
  CompileOptions,
  Encoding,
  Executable,
  SequenceState,
  Span,
  TensorSpec,
} from "../../kernels/backend.ts";
import { type Block, matrixNames, tensorShapes } from "../../kernels/blocks.ts";
import { createWasmBackend, type Dots, type WasmBackend } from "../../kernels/wasm/index.ts";
import { ARENA_START, instantiate, type Kernels } from "../../kernels/wasm/kernels.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { blockedIndex } from "../../kernels/wasm/tensors.ts";
import { bf16ToF32, f32ToBf16Up, GROUP, packQ4, packQ8, type Q8Matrix } from "../../weights/layout.ts";
import { quantizeQ4 } from "../../weights/quantize-q4.ts";

/** Random Mamba models of any size, and short ways to run them. */

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

export const SMALL: Sizes = {
  dim: 40,
  inner: 72,
  state: 16,
  conv: 4,
  dtRank: 3,
  vocab: 99,
  layers: 2,
  tied: true,
  biases: false,
};

export interface RandomModel {
  readonly blocks: readonly Block[];
  readonly tensors: ReadonlyMap<string, TensorSpec>;
  readonly bytes: ReadonlyMap<string, Uint8Array>;
}

/** Uniform in [−1, 1), the same for the same seed. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 31 - 1;
  };
}

export function mambaBlocks(sizes: Sizes): Block[] {
  const { dim, inner, state, conv, dtRank, vocab, layers, tied, biases } = sizes;
  const bias = (name: string): { bias?: string } => (biases ? { bias: name } : {});
  const blocks: Block[] = [{ kind: "embedding", vocab, dim, weight: "embedding" }];
  for (let i = 0; i < layers; i++) {
    blocks.push({
      kind: "mamba",
      dim,
      inner,
      state,
      conv,
      dtRank,
      norm: { type: "rms", weight: `${i}.norm`, eps: 1e-5 },
      inProj: { weight: `${i}.in`, ...bias(`${i}.in.bias`) },
      convWeight: `${i}.conv`,
      ...(biases ? { convBias: `${i}.conv.bias` } : {}),
      xProj: `${i}.x`,
      dtProj: { weight: `${i}.dt`, bias: `${i}.dt.bias` },
      A: `${i}.A`,
      D: `${i}.D`,
      outProj: { weight: `${i}.out`, ...bias(`${i}.out.bias`) },
    });
  }
  blocks.push({ kind: "norm", dim, norm: { type: "rms", weight: "norm", eps: 1e-5 } });
  blocks.push({ kind: "head", vocab, dim, proj: { weight: tied ? "embedding" : "head", ...bias("head.bias") } });
  return blocks;
}

/** quantized: which matrices are stored as `encoding`; all by default. */
export function randomModel(
  sizes: Sizes,
  encoding: Encoding,
  seed = 1,
  quantized: (name: string) => boolean = () => true,
): RandomModel {
  const blocks = mambaBlocks(sizes);
  const random = randomNumbers(seed);
  const tensors = new Map<string, TensorSpec>();
  const bytes = new Map<string, Uint8Array>();
  for (const block of blocks) {
    const matrices = matrixNames(block);
    for (const [name, shape] of tensorShapes(block)) {
      if (tensors.has(name)) continue;
      const values = randomTensor(name, shape, random);
      const encodes = matrices.includes(name) && quantized(name) ? encoding : "f32";
      const encoded = encode(values, shape, encodes);
      tensors.set(name, { shape, encoding: encodes, bytes: encoded.length });
      bytes.set(name, encoded);
    }
  }
  return { blocks, tensors, bytes };
}

function encode(values: Float32Array, [rows = 1, cols = 1]: readonly number[], encoding: Encoding): Uint8Array {
  if (encoding === "f32") return new Uint8Array(values.buffer);
  return encoding === "q8" ? packQ8(quantize(rows, cols, values)) : packQ4(quantizeQ4(rows, cols, values));
}

/** Values of the size that a trained model has, so that no part of the state dies out. */
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

/** Nearest integers against a scale that covers the group's largest value. */
export function quantize(rows: number, cols: number, values: Float32Array): Q8Matrix {
  const groups = Math.ceil(cols / GROUP);
  const q = new Int8Array(rows * cols);
  const scales = new Uint16Array(rows * groups);
  for (let r = 0; r < rows; r++) {
    for (let g = 0; g < groups; g++) {
      const first = r * cols + g * GROUP;
      const group = values.subarray(first, r * cols + Math.min(cols, (g + 1) * GROUP));
      const scale = f32ToBf16Up(group.reduce((m, v) => Math.max(m, Math.abs(v)), 0) / 127);
      scales[r * groups + g] = scale;
      group.forEach((v, i) => {
        q[first + i] = scale === 0 ? 0 : Math.round(v / bf16ToF32(scale));
      });
    }
  }
  return { rows, cols, values: q, scales };
}

export async function compileModel(
  backend: Backend,
  model: RandomModel,
  options?: CompileOptions,
): Promise<Executable> {
  const executable = await backend.compile(model.blocks, model.tensors, options);
  for (const [name, bytes] of model.bytes) executable.load(name, 0, bytes);
  return executable;
}

export function randomTokens(count: number, vocab: number, seed = 7): number[] {
  const random = randomNumbers(seed);
  return Array.from({ length: count }, () => Math.floor(((random() + 1) / 2) * vocab));
}

/** Logits of the last token, copied. */
export async function lastLogits(
  executable: Executable,
  state: SequenceState,
  tokens: number[],
): Promise<Float32Array> {
  const [output] = await executable.run([{ state, tokens, logits: "last" }]).read();
  return output!.logits.slice();
}

export async function runSpans(
  executable: Executable,
  spans: readonly Span[],
): Promise<{ logits: Float32Array; logProbs: Float32Array }[]> {
  const outputs = await executable.run(spans).read();
  return outputs.map(({ logits, logProbs }) => ({ logits: logits.slice(), logProbs: logProbs.slice() }));
}

/** How many f32s differ in their bits (−0 is not 0, and a NaN is itself); NaN when the lengths differ. */
export function differences(a: Float32Array, b: Float32Array): number {
  const [x, y] = [new Uint32Array(a.slice().buffer), new Uint32Array(b.slice().buffer)];
  return x.length === y.length ? x.reduce((count, v, i) => count + (v === y[i] ? 0 : 1), 0) : Number.NaN;
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

export const modules = await loadWasmModules();

const fastest = (await createWasmBackend(modules)).dots;

/** Every way the integer dots are summed here, for describe.each: those that are exact everywhere, and this host's own. */
export const everyDots: readonly Dots[] = [...new Set<Dots>([fastest, "fused", "paired", "widened"])];

export function backendWith(dots: Dots): Promise<WasmBackend> {
  return createWasmBackend(modules, { dots });
}

/** The bare kernels on a memory of their own, filled with NaN so that whatever is read beside the data shows. */
export class KernelBox {
  readonly kernels: Kernels;
  readonly f32: Float32Array;
  readonly u8: Uint8Array;
  #top = ARENA_START;

  static async create(dots: Dots): Promise<KernelBox> {
    const memory = new WebAssembly.Memory({ initial: 64 });
    const module = dots === "widened" ? modules.baseline : modules.relaxed;
    return new KernelBox(await instantiate(module as WebAssembly.Module, memory, dots), memory);
  }

  private constructor(kernels: Kernels, memory: WebAssembly.Memory) {
    this.kernels = kernels;
    this.f32 = new Float32Array(memory.buffer);
    this.u8 = new Uint8Array(memory.buffer);
    this.f32.fill(Number.NaN, ARENA_START / 4);
  }

  /** Forgets everything that was put. */
  reset(): void {
    this.#top = ARENA_START;
    this.f32.fill(Number.NaN, ARENA_START / 4);
  }

  /** Address of `count` f32s that hold NaN. */
  space(count: number): number {
    const address = this.#top;
    this.#top += Math.ceil(count / 16) * 64;
    return address;
  }

  /** Address of a copy of the values. */
  put(values: ArrayLike<number>): number {
    const address = this.space(values.length);
    this.f32.set(values, address / 4);
    return address;
  }

  putBytes(bytes: Uint8Array): number {
    const address = this.space(Math.ceil(bytes.length / 4));
    this.u8.set(bytes, address);
    return address;
  }

  /** (rows, cols) → (rows, stride), NaN between. */
  putRows(values: Float32Array, cols: number, stride: number): number {
    const rows = values.length / cols;
    const address = this.space(rows * stride);
    for (let r = 0; r < rows; r++) this.f32.set(values.subarray(r * cols, (r + 1) * cols), address / 4 + r * stride);
    return address;
  }

  /** f32 (rows, cols) in blocks of `lanes` rows, padded with zeros. */
  putBlocks(values: Float32Array, rows: number, cols: number, lanes: 8 | 16, factor = 1): number {
    const blocked = new Float32Array(Math.ceil(rows / lanes) * lanes * cols);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < cols; c++) blocked[blockedIndex(r, c, cols, lanes)] = factor * values[r * cols + c]!;
    }
    return this.put(blocked);
  }

  get(address: number, count: number): Float32Array {
    return this.f32.slice(address / 4, address / 4 + count);
  }

  /** The first `cols` of each row. */
  getRows(address: number, rows: number, cols: number, stride: number): Float32Array {
    const out = new Float32Array(rows * cols);
    for (let r = 0; r < rows; r++) out.set(this.get(address + 4 * r * stride, cols), r * cols);
    return out;
  }
}

export function randomF32(count: number, seed = 3): Float32Array {
  return Float32Array.from({ length: count }, randomNumbers(seed));
}
