import { KernelError, type TensorSpec } from "../../backend.ts";
import { type Block, matrixNames, tensorShapes } from "../../blocks.ts";
import { checkTensors } from "../../check.ts";
import type { Gpu } from "../gpu.ts";
import { type MatrixPlan, planMatrix } from "../plan.ts";
import { pad } from "../sizes.ts";
import { matrixSink, TensorLoader, vectorWriter } from "../weights.ts";
import { NONE } from "../wgsl/math.ts";

/** The name, among a block's vectors, of zeros in a missing convolution bias's place. */
export const ZEROS = "";

/** Where the tensors of any list of blocks lie: matrices in tiles, and for each block the rest side by side in one buffer. */
export interface TensorPlan {
  readonly blocks: readonly Block[];
  readonly specs: ReadonlyMap<string, TensorSpec>;
  /** tensors of each block. */
  readonly names: readonly string[][];
  readonly matrices: ReadonlyMap<string, MatrixPlan>;
  /** of each block: f32 offsets, by name. */
  readonly vectors: readonly ReadonlyMap<string, number>[];
  /** f32s of each block's buffer. */
  readonly lengths: readonly number[];
  /** bytes in all. */
  readonly bytes: number;
}

/** @throws KernelError when tensors are missing or misshapen, or vectors are more than a buffer holds */
export function planTensors(
  blocks: readonly Block[],
  specs: ReadonlyMap<string, TensorSpec>,
  bindingLimit: number,
  matrixLimit: number,
): TensorPlan {
  const names = checkTensors(blocks, specs);
  const matrices = new Map<string, MatrixPlan>();
  for (const name of blocks.flatMap(matrixNames)) {
    matrices.set(name, planMatrix(name, specs.get(name)!, matrixLimit));
  }
  const vectors: Map<string, number>[] = [];
  const lengths: number[] = [];
  blocks.forEach((block, i) => {
    const own = new Map<string, number>();
    let length = 0;
    for (const [name, shape] of tensorShapes(block)) {
      if (matrices.has(name)) continue;
      const { encoding } = specs.get(name)!;
      if (encoding !== "f32") throw new KernelError(`tensor "${name}" of block ${i} must be f32, is ${encoding}`);
      own.set(name, length);
      length += pad(
        shape.reduce((a, b) => a * b, 1),
        8,
      );
    }
    if ("convWeight" in block && block.convBias === undefined) {
      own.set(ZEROS, length);
      length += pad(block.inner, 8);
    }
    if (4 * length > bindingLimit) {
      throw new KernelError(
        `block ${i} (${block.kind}) has ${4 * length} bytes of vectors, this device binds ${bindingLimit}: run it on wasm`,
      );
    }
    vectors.push(own);
    lengths.push(length);
  });
  let bytes = lengths.reduce((sum, length) => sum + 4 * length, 0);
  for (const m of matrices.values()) bytes += Math.ceil(m.rows / 8) * m.bytesPerTileRow;
  return { blocks, specs, names, matrices, vectors, lengths, bytes };
}

/** A model's tensors on the device, filled as they arrive. */
export class TensorStore {
  readonly plan: TensorPlan;
  readonly #gpu: Gpu;
  readonly #matrices = new Map<string, GPUBuffer[]>();
  readonly #vectors: readonly GPUBuffer[];
  readonly #loaders = new Map<string, TensorLoader>();
  #blocksLoaded = 0;

  constructor(gpu: Gpu, plan: TensorPlan) {
    this.#gpu = gpu;
    this.plan = plan;
    for (const matrix of plan.matrices.values()) {
      const buffers = matrix.parts.map((p) => gpu.buffer(matrix.name, p.tileRows * matrix.bytesPerTileRow));
      this.#matrices.set(matrix.name, buffers);
      const sink = matrixSink(gpu, matrix, buffers);
      this.#loaders.set(matrix.name, new TensorLoader(matrix.name, matrix.spec.bytes, sink));
    }
    this.#vectors = plan.lengths.map((length) => gpu.buffer("vectors", 4 * length));
    for (const name of plan.names.flat()) {
      if (plan.matrices.has(name) || this.#loaders.has(name)) continue;
      this.#loaders.set(name, new TensorLoader(name, plan.specs.get(name)!.bytes, this.#vectorSink(name)));
    }
  }

  /** Leading blocks whose tensors are all there. */
  get blocksLoaded(): number {
    const { names } = this.plan;
    while (names[this.#blocksLoaded]?.every((name) => this.#loaders.get(name)!.done)) this.#blocksLoaded++;
    return this.#blocksLoaded;
  }

  /** The buffers of a matrix's parts. */
  matrix(name: string): readonly GPUBuffer[] {
    return this.#matrices.get(name)!;
  }

  vectors(block: number): GPUBuffer {
    return this.#vectors[block]!;
  }

  /** f32 offset of a vector in its block's buffer; NONE without a name. */
  at(block: number, name: string | undefined): number {
    return name === undefined ? NONE : this.plan.vectors[block]!.get(name)!;
  }

  load(name: string, offset: number, bytes: Uint8Array): void {
    const loader = this.#loaders.get(name);
    if (loader === undefined) throw new KernelError(`no block has a tensor "${name}"`);
    loader.load(offset, bytes);
  }

  dispose(): void {
    for (const buffer of [...[...this.#matrices.values()].flat(), ...this.#vectors]) this.#gpu.free(buffer);
  }

  /** Into every block that has it. */
  #vectorSink(name: string): ConstructorParameters<typeof TensorLoader>[2] {
    const { blocks, vectors } = this.plan;
    const writers = blocks.flatMap((block, i) => {
      const at = vectors[i]!.get(name);
      if (at === undefined) return [];
      return [vectorWriter(this.#gpu, name, this.#vectors[i]!, 4 * at, decays(block).includes(name))];
    });
    return {
      unit: 4,
      write: (offset, bytes) => {
        for (const write of writers) write(offset, bytes);
      },
    };
  }
}

/** Tensors that must be negative: A. */
function decays(block: Block): string[] {
  if (block.kind === "mamba") return [block.A];
  return block.kind === "ss2d" ? block.scans.map((scan) => scan.A) : [];
}
