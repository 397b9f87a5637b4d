import type { Linear, Norm } from "../../blocks.ts";
import { f32Word, type Params } from "../params.ts";
import type { Kernel, Pipelines, Slice } from "../pipelines.ts";
import type { Recorder } from "../recorder.ts";
import { NONE } from "../wgsl/math.ts";
import { ACTIVATIONS, type Activation, FEW, PRODUCT_TILE, productTile } from "../wgsl/product.ts";
import type { BlockKernels } from "./kernels.ts";
import type { TensorStore } from "./tensors.ts";

/** Rows of vectors in a buffer, `stride` f32s apart: a multiple of 4. */
export interface Rows {
  readonly buffer: GPUBuffer;
  readonly stride: number;
  /** f32s before the first row, a multiple of 4. Default 0. */
  readonly first?: number;
}

export type Grid = readonly [number, number?, number?];

/** What is launched: a kernel with what it reads and writes, and workgroups in up to three dimensions. */
export interface Dispatch {
  readonly kernel: Kernel;
  readonly group: GPUBindGroup;
  readonly grid: Grid;
}

/** The same for any number of rows. */
export type Launch = (rows: number) => Dispatch;

/** Workgroups in a dimension, by WebGPU's default limits. */
export const MOST_GROUPS = 65_535;

/** A workgroup a row, in a grid of two dimensions where one has not enough. */
export function rowGrid(rows: number): [number, number] {
  const y = Math.ceil(rows / MOST_GROUPS);
  return [Math.ceil(rows / y), y];
}

export function launch(recorder: Recorder, launches: readonly Launch[], rows: number): void {
  for (const at of launches) {
    const { kernel, group, grid } = at(rows);
    recorder.dispatch(kernel, [group], ...grid);
  }
}

/** Makes the launches that several kinds of blocks have in common. */
export class Launches {
  readonly kernels: BlockKernels;
  readonly pipelines: Pipelines;
  readonly params: Params;
  readonly tensors: TensorStore;

  constructor(kernels: BlockKernels, pipelines: Pipelines, params: Params, tensors: TensorStore) {
    this.kernels = kernels;
    this.pipelines = pipelines;
    this.params = params;
    this.tensors = tensors;
  }

  /**
   * to = act(from Wᵀ + bias), or to += it, a launch for each part of the matrix.
   * @param rows that `from` has at most
   */
  product(
    block: number,
    { weight, bias }: Linear,
    from: Rows,
    to: Rows,
    rows: number,
    { act = "none", add = false }: { readonly act?: Activation; readonly add?: boolean } = {},
  ): Launch[] {
    const { tensors, kernels } = this;
    const { cols, tileCols, spec, parts } = tensors.plan.matrices.get(weight)!;
    const at = tensors.at(block, bias);
    return parts.map(({ firstRow, tileRows }, i) => {
      const words = [
        ...[rows, cols, tileCols, tileRows, (from.first ?? 0) / 4, from.stride / 4],
        ...[((to.first ?? 0) + firstRow) / 4, to.stride / 4, at === NONE ? NONE : at + firstRow],
        ...[ACTIVATIONS[act], add ? 1 : 0],
      ];
      const slices = [from.buffer, tensors.matrix(weight)[i]!, tensors.vectors(block), to.buffer];
      const group = this.bind("rrrwu", slices, words);
      return (count) => {
        if (count <= FEW)
          return { kernel: kernels.get(`few product ${spec.encoding}`), group, grid: [tileRows, count] };
        const best = productTile(8 * tileRows, count);
        const tile = kernels.has(`product ${spec.encoding} ${best}`) ? best : PRODUCT_TILE;
        const grid = [Math.ceil((8 * tileRows) / tile), Math.ceil(count / tile)] as const;
        return { kernel: kernels.get(`product ${spec.encoding} ${tile}`), group, grid };
      };
    });
  }

  /** to = norm(from) [, then gelu], rows of `width`. */
  norm(block: number, norm: Norm, width: number, from: Rows, to: Rows, rows: number, gelu = false): Launch {
    const { tensors } = this;
    const bias = norm.type === "layer" ? norm.bias : undefined;
    const words = [rows, width, from.stride, to.stride, tensors.at(block, norm.weight), tensors.at(block, bias)];
    const slices = [from.buffer, tensors.vectors(block), to.buffer];
    const kernel = this.kernels.get("norm");
    const group = this.bind("rrwu", slices, [...words, f32Word(norm.eps), gelu ? 1 : 0]);
    return (count) => ({ kernel, group, grid: rowGrid(count) });
  }

  /** Of storage buffers, and a record of words behind them. */
  bind(letters: string, slices: readonly (GPUBuffer | Slice)[], words: readonly number[]): GPUBindGroup {
    return this.pipelines.bind(letters, [...slices, this.params.record(...words)]);
  }
}
