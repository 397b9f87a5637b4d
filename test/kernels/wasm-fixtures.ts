import type { Encoding, Executable, SequenceState, Span } from "../../kernels/backend.ts";
import { createWasmBackend, type Dots, type WasmBackend } from "../../kernels/wasm/index.ts";
import { ARENA_START, instantiate, type Kernels } from "../../kernels/wasm/kernels.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { blockedIndex } from "../../kernels/wasm/tensors.ts";
import * as models from "../../scripts/bench/webgpu/models.ts";
import { type RandomModel, randomNumbers, type Sizes } from "../../scripts/bench/webgpu/models.ts";

/** Random Mamba models of any size, and short ways to run them. */

export {
  compileModel,
  distance,
  mambaBlocks,
  type RandomModel,
  randomNumbers,
  randomTokens,
  type Sizes,
} from "../../scripts/bench/webgpu/models.ts";

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

/** quantized: which matrices are stored as `encoding`; all by default. */
export function randomModel(
  sizes: Sizes,
  encoding: Encoding,
  seed = 1,
  quantized: (name: string) => boolean = () => true,
): RandomModel {
  return models.randomModel(sizes, (name) => (quantized(name) ? encoding : "f32"), seed);
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
