import { encodedBytes, TILE_ROWS } from "../../weights/layout.ts";
import { KernelError, type TensorSpec } from "../backend.ts";
import { type Block, matrixNames, tensorShapes } from "../blocks.ts";
import { checkTensors } from "../check.ts";
import { type Arena, roundUp } from "./arena.ts";

/** Kernels that work channel by channel take so many at once. */
export const CHANNELS = 16;

/**
 * A tensor in kernel memory. q8 and q4 stay as they arrive. f32 is kept in blocks of rows, each (cols, lanes), so that lanes are rows for every
 * kernel: 8 rows for a matrix, 16 for what is used channel by channel. A vector has one column. The rows missing at the end are zero.
 */
export interface Place {
  readonly name: string;
  readonly spec: TensorSpec;
  readonly offset: number;
  readonly rows: number;
  readonly cols: number;
  /** rows of an f32 block. */
  readonly lanes: number;
  /** what f32 values are multiplied by on arrival: A by log2 e, so that the scan's exponential is a power of two. */
  readonly factor: number;
}

/** Finds room for every tensor of the blocks, in the order of execution; a tensor of two blocks is stored once. */
export function placeTensors(
  blocks: readonly Block[],
  tensors: ReadonlyMap<string, TensorSpec>,
  arena: Arena,
): Map<string, Place> {
  checkTensors(blocks, tensors);
  const places = new Map<string, Place>();
  blocks.forEach((block, i) => {
    const matrices = matrixNames(block);
    for (const name of tensorShapes(block).keys()) {
      const spec = tensors.get(name) as TensorSpec;
      const where = `tensor "${name}" of block ${i} (${block.kind})`;
      if (spec.encoding !== "f32" && !matrices.includes(name)) {
        throw new KernelError(`${where} must be f32, is ${spec.encoding}: only matrices may be quantized`);
      }
      const lanes = matrices.includes(name) ? TILE_ROWS : CHANNELS;
      const factor = decays(block).includes(name) ? Math.LOG2E : 1;
      const placed = places.get(name);
      if (placed === undefined) places.set(name, place(name, spec, lanes, factor, where, arena));
      else if (placed.lanes !== lanes || placed.factor !== factor) {
        throw new KernelError(`${where} is used in another way elsewhere: give it a name of its own`);
      }
    }
  });
  return places;
}

/** Tensors that stand in an exponent. */
function decays(block: Block): string[] {
  if (block.kind === "mamba") return [block.A];
  return block.kind === "ss2d" ? block.scans.map((s) => s.A) : [];
}

function place(name: string, spec: TensorSpec, lanes: number, factor: number, where: string, arena: Arena): Place {
  const [rows = 1, cols = 1] = spec.shape;
  const bytes = encodedBytes(spec.shape, spec.encoding);
  if (spec.bytes !== bytes) {
    throw new KernelError(`${where} in ${spec.encoding} takes ${bytes} bytes, its spec says ${spec.bytes}`);
  }
  const stored = spec.encoding === "f32" ? 4 * roundUp(rows, lanes) * cols : bytes;
  return { name, spec, offset: arena.take(stored), rows, cols, lanes, factor };
}

/** Address of a row of a matrix; row is a multiple of 8. */
export function rowAddress(matrix: Pick<Place, "offset" | "cols" | "spec">, row: number): number {
  const { offset, cols, spec } = matrix;
  return offset + encodedBytes([row, cols], spec.encoding);
}

/** Index of element (row, col) of a matrix of `cols` columns in blocks of `lanes` rows. */
export function blockedIndex(row: number, col: number, cols: number, lanes: number): number {
  return (Math.floor(row / lanes) * cols + col) * lanes + (row % lanes);
}
