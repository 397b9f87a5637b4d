import { GROUP, TILE_ROWS } from "../../weights/layout.ts";
import { KernelError } from "../backend.ts";
import type { Gpu } from "./gpu.ts";
import type { Slice } from "./pipelines.ts";
import type { MatrixPlan, Plan } from "./plan.ts";
import { pad, type Vectors } from "./sizes.ts";

/** A model's weights on the device, filled as they arrive. */
export class Weights {
  readonly #gpu: Gpu;
  readonly #matrices = new Map<string, readonly Slice[]>();
  readonly #loaders = new Map<string, TensorLoader>();
  /** all of each Mamba block's, in order. */
  readonly blocks: readonly GPUBuffer[];
  /** of each Mamba block, in order. */
  readonly vectors: readonly Slice[];
  readonly norm: GPUBuffer;
  readonly headBias: GPUBuffer;

  constructor(gpu: Gpu, plan: Plan) {
    this.#gpu = gpu;
    this.blocks = plan.blockWeights.map(({ matrices, bytes }) => {
      const buffer = gpu.buffer("block", bytes);
      for (const [name, offset] of matrices) {
        const { parts, bytesPerTileRow } = plan.matrices.get(name)!;
        this.#matrices.set(name, [{ buffer, offset, size: parts[0]!.tileRows * bytesPerTileRow }]);
      }
      return buffer;
    });
    for (const matrix of plan.matrices.values()) {
      const { name, parts, bytesPerTileRow, spec } = matrix;
      const slices =
        this.#matrices.get(name) ?? parts.map((p) => ({ buffer: gpu.buffer(name, p.tileRows * bytesPerTileRow) }));
      this.#matrices.set(name, slices);
      this.#loaders.set(name, new TensorLoader(name, spec.bytes, matrixSink(gpu, matrix, slices)));
    }
    const vector = (name: string | undefined, buffer: GPUBuffer, offset: number, negative = false): void => {
      if (name === undefined) return;
      const sink = { unit: 4, write: vectorWriter(gpu, name, buffer, 4 * offset, negative) };
      this.#loaders.set(name, new TensorLoader(name, plan.tensors.get(name)!.bytes, sink));
    };
    this.vectors = plan.mambas.map(({ block, vectors }, i) => {
      const offset = plan.blockWeights[i]!.vectors;
      const buffer = this.blocks[i]!;
      const at = Object.fromEntries(
        Object.entries(vectors).map(([name, floats]) => [name, offset / 4 + floats]),
      ) as unknown as Vectors;
      vector(block.norm.weight, buffer, at.norm);
      vector(block.inProj.bias, buffer, at.inBias);
      vector(block.convWeight, buffer, at.conv);
      vector(block.convBias, buffer, at.convBias);
      vector(block.dtProj.bias, buffer, at.dtBias);
      vector(block.A, buffer, at.A, true);
      vector(block.D, buffer, at.D);
      vector(block.outProj.bias, buffer, at.outBias);
      return { buffer, offset, size: 4 * vectors.length };
    });
    this.norm = gpu.buffer("norm", 4 * pad(plan.norm.dim, 32));
    vector(plan.norm.norm.weight, this.norm, 0);
    this.headBias = gpu.buffer("head bias", 4 * pad(plan.head.vocab, 8));
    vector(plan.head.proj.bias, this.headBias, 0);
  }

  /** Where a matrix's parts lie. */
  matrix(name: string): readonly Slice[] {
    return this.#matrices.get(name)!;
  }

  isLoaded(name: string): boolean {
    return this.#loaders.get(name)!.done;
  }

  load(name: string, offset: number, bytes: Uint8Array): void {
    const loader = this.#loaders.get(name);
    if (loader === undefined) throw new KernelError(`no block has a tensor "${name}"`);
    loader.load(offset, bytes);
  }

  dispose(): void {
    const matrices = [...this.#matrices.values()].flatMap((slices) => slices.map(({ buffer }) => buffer));
    for (const buffer of new Set([...matrices, ...this.blocks, this.norm, this.headBias])) this.#gpu.free(buffer);
  }
}

export interface Sink {
  /** bytes that must be written together. */
  readonly unit: number;
  /** @param bytes whole units, or the tensor's end */
  write(offset: number, bytes: Uint8Array): void;
}

/** Puts the pieces of a tensor together to whole units. */
export class TensorLoader {
  readonly #name: string;
  readonly #bytes: number;
  readonly #sink: Sink;
  #arrived = 0;
  #rest = new Uint8Array(0);

  constructor(name: string, bytes: number, sink: Sink) {
    this.#name = name;
    this.#bytes = bytes;
    this.#sink = sink;
  }

  get done(): boolean {
    return this.#arrived === this.#bytes;
  }

  /** @throws KernelError when the piece is not the next one, or too long */
  load(offset: number, bytes: Uint8Array): void {
    if (offset !== this.#arrived) {
      throw new KernelError(`tensor "${this.#name}": byte ${this.#arrived} comes next, the piece starts at ${offset}`);
    }
    if (offset + bytes.length > this.#bytes) {
      throw new KernelError(
        `tensor "${this.#name}" has ${this.#bytes} bytes, the piece ends at ${offset + bytes.length}`,
      );
    }
    const start = offset - this.#rest.length;
    let all = bytes;
    if (this.#rest.length > 0) {
      all = new Uint8Array(this.#rest.length + bytes.length);
      all.set(this.#rest);
      all.set(bytes, this.#rest.length);
    }
    const ends = offset + bytes.length === this.#bytes;
    const whole = ends ? all.length : all.length - (all.length % this.#sink.unit);
    if (whole > 0) this.#sink.write(start, all.subarray(0, whole));
    this.#rest = all.slice(whole);
    this.#arrived += bytes.length;
  }
}

export function vectorWriter(
  gpu: Gpu,
  name: string,
  buffer: GPUBuffer,
  base: number,
  negative: boolean,
): Sink["write"] {
  return (offset, bytes) => {
    if (negative) checkNegative(name, offset, bytes);
    write(gpu, buffer, base + offset, bytes);
  };
}

function checkNegative(name: string, offset: number, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; at += 4) {
    const value = view.getFloat32(at, true);
    if (value <= 0 && value > Number.NEGATIVE_INFINITY) continue;
    throw new KernelError(`tensor "${name}" (A) must be negative and finite, element ${(offset + at) / 4} is ${value}`);
  }
}

/** Quantized tiles go where they are; rows of f32 become tiles on the way. */
export function matrixSink(gpu: Gpu, matrix: MatrixPlan, slices: readonly (GPUBuffer | Slice)[]): Sink {
  const { cols, spec, bytesPerTileRow } = matrix;
  const put = (offset: number, bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length; ) {
      const part = matrix.parts.findLastIndex((p) => (p.firstRow / TILE_ROWS) * bytesPerTileRow <= offset + at);
      const { firstRow, tileRows } = matrix.parts[part]!;
      const within = offset + at - (firstRow / TILE_ROWS) * bytesPerTileRow;
      const count = Math.min(bytes.length - at, tileRows * bytesPerTileRow - within);
      const slice = slices[part]!;
      const { buffer, offset: begin = 0 } = "buffer" in slice ? slice : { buffer: slice };
      write(gpu, buffer, begin + within, bytes.subarray(at, at + count));
      at += count;
    }
  };
  if (spec.encoding !== "f32") return { unit: 4, write: put };
  const unit = 4 * TILE_ROWS * cols;
  return {
    unit,
    write: (offset, bytes) => put((offset / unit) * bytesPerTileRow, tilesOfRows(bytes, cols)),
  };
}

/** Row-major f32 rows, from a multiple of 8 on, as tiles: 8 chunks of 4 columns, each 8 rows × 4. */
export function tilesOfRows(bytes: Uint8Array, cols: number): Uint8Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const from = new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
  const rows = from.length / cols;
  const tileCols = Math.ceil(cols / GROUP);
  const tiles = new Float32Array(Math.ceil(rows / TILE_ROWS) * tileCols * TILE_ROWS * GROUP);
  for (let row = 0; row < rows; row++) {
    const base = Math.floor(row / TILE_ROWS) * tileCols * TILE_ROWS * GROUP + (row % TILE_ROWS) * 4;
    for (let chunk = 0; 4 * chunk < cols; chunk++) {
      const to = base + chunk * 4 * TILE_ROWS;
      const width = Math.min(4, cols - 4 * chunk);
      for (let c = 0; c < width; c++) tiles[to + c] = from[row * cols + 4 * chunk + c]!;
    }
  }
  return new Uint8Array(tiles.buffer);
}

function write(gpu: Gpu, buffer: GPUBuffer, offset: number, bytes: Uint8Array): void {
  gpu.device.queue.writeBuffer(buffer, offset, bytes as Uint8Array<ArrayBuffer>);
}
