/**
 * Blocks of image models. They run on a stream u of (height, width, dim): one position a pixel or patch, rows of the image after one
 * another. Only these blocks change how many positions there are, and the width of the stream.
 */
import type { Block, HeadBlock, Linear, MlpBlock, Norm, NormBlock } from "./blocks.ts";

export interface ImageSize {
  readonly height: number;
  readonly width: number;
}

/**
 * u = gelu(norm(conv(u))), a square kernel over all channels; what lies outside the image is zero. The first block of an image model, on
 * its pixels, and what makes the image smaller on the way.
 */
export interface Conv2dBlock {
  readonly kind: "conv2d";
  /** channels of what it reads. */
  readonly inputs: number;
  readonly dim: number;
  readonly kernel: number;
  readonly stride: number;
  /** zeros around the image. */
  readonly padding: number;
  /** (dim, kernel · kernel · inputs): columns by row of the kernel, then column, then channel. */
  readonly conv: Linear;
  /** over dim. */
  readonly norm?: Norm;
  /** in its exact form. */
  readonly gelu: boolean;
}

/**
 * u = proj(norm(x)), where x are the four pixels of a 2 × 2 patch side by side: (0,0), (1,0), (0,1), (1,1) as (row, column). Zeros stand at
 * the bottom and the right of an odd size (PatchMerging, Liu et al. 2021).
 */
export interface PatchMergeBlock {
  readonly kind: "patch-merge";
  readonly inputs: number;
  readonly dim: number;
  /** over 4 · inputs. */
  readonly norm: Norm;
  /** (dim, 4 · inputs). */
  readonly proj: Linear;
}

/** One of the four scans of SS2D. */
export interface Scan {
  /** (inner, dtRank); its bias lies inside the softplus. */
  readonly dtProj: Linear;
  /** f32 (inner, state): negative. */
  readonly A: string;
}

/**
 * The 2-D selective scan (Liu et al. 2024, VMamba), residual included:
 * x[, z] = inProj(norm(u)); x = silu(depthwise 3 × 3 of x);
 * y = Σ_k scan_k(x) + D x over four orders of the positions: 0 row by row, 1 column by column, 2 and 3 the same from the end;
 * u += outProj(outNorm(y) [· silu(z)]).
 * A scan is Mamba's: dt, B and C from x, h ← exp(dt A) h + dt B x, C h. Its state begins at zero in every image and is not kept.
 */
export interface Ss2dBlock {
  readonly kind: "ss2d";
  readonly dim: number;
  readonly inner: number;
  /** N in the paper. */
  readonly state: number;
  readonly dtRank: number;
  readonly norm: Norm;
  /** whether inProj gives z behind x. */
  readonly gated: boolean;
  /** (inner or 2 · inner, dim). */
  readonly inProj: Linear;
  /** f32 (inner, 9), row by row, centred on the position. */
  readonly convWeight: string;
  /** f32 (inner). */
  readonly convBias?: string;
  /** (4 · (dtRank + 2 · state), inner): for each scan rows dt, B, C. */
  readonly xProj: string;
  readonly scans: readonly [Scan, Scan, Scan, Scan];
  /** f32 (inner): the sum of the four scans' D. */
  readonly D: string;
  /** over inner. */
  readonly outNorm: Norm;
  /** (dim, inner). */
  readonly outProj: Linear;
}

/** u = the mean over all positions: one position is left. */
export interface PoolBlock {
  readonly kind: "pool";
  readonly dim: number;
}

/** What only image models are made of; `mlp`, `norm` and `head` they share with others. */
export type ImageOnlyBlock = Conv2dBlock | PatchMergeBlock | Ss2dBlock | PoolBlock;
export type ImageBlock = ImageOnlyBlock | MlpBlock | NormBlock | HeadBlock;

/** Orders of the scans in an Ss2dBlock. */
export const SCANS = 4;

/** Whether a model is fed images. */
export function takesImages(blocks: readonly Block[]): boolean {
  return blocks[0]?.kind === "conv2d";
}

/** Channels of the images that a model is fed; 0 when it is fed something else. */
export function imageChannels(blocks: readonly Block[]): number {
  const first = blocks[0];
  return first?.kind === "conv2d" ? first.inputs : 0;
}

/** Size of the stream behind a block. A height or width below 1 says that the image is too small for the model. */
export function sizeBehind(block: Block, { height, width }: ImageSize): ImageSize {
  switch (block.kind) {
    case "conv2d": {
      const size = (n: number): number => Math.floor((n + 2 * block.padding - block.kernel) / block.stride) + 1;
      return { height: size(height), width: size(width) };
    }
    case "patch-merge":
      return { height: Math.ceil(height / 2), width: Math.ceil(width / 2) };
    case "pool":
      return { height: 1, width: 1 };
    default:
      return { height, width };
  }
}

/** Sizes of the stream in front of each block, then behind the last. */
export function imageSizes(blocks: readonly Block[], image: ImageSize): ImageSize[] {
  const sizes = [image];
  for (const block of blocks) sizes.push(sizeBehind(block, sizes.at(-1)!));
  return sizes;
}

/** Multiply-adds of a block for one position behind it. */
export function imageMultiplyAdds(block: ImageOnlyBlock): number {
  switch (block.kind) {
    case "conv2d":
      return block.dim * block.kernel ** 2 * block.inputs;
    case "patch-merge":
      return block.dim * 4 * block.inputs;
    case "ss2d": {
      const { dim, inner, state, dtRank, gated } = block;
      return inner * ((gated ? 3 : 2) * dim + 9 + SCANS * (2 * dtRank + 2 * state + 3 * state));
    }
    case "pool":
      return 0;
  }
}

/** Tensors of a block, by name. */
export function imageTensorShapes(block: ImageOnlyBlock): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  const linear = (l: Linear, rows: number, cols: number): void => {
    shapes.set(l.weight, [rows, cols]);
    if (l.bias !== undefined) shapes.set(l.bias, [rows]);
  };
  const norm = (n: Norm, width: number): void => {
    shapes.set(n.weight, [width]);
    if (n.type === "layer") shapes.set(n.bias, [width]);
  };
  switch (block.kind) {
    case "conv2d":
      linear(block.conv, block.dim, block.kernel ** 2 * block.inputs);
      if (block.norm !== undefined) norm(block.norm, block.dim);
      break;
    case "patch-merge":
      norm(block.norm, 4 * block.inputs);
      linear(block.proj, block.dim, 4 * block.inputs);
      break;
    case "ss2d": {
      const { dim, inner, state, dtRank } = block;
      norm(block.norm, dim);
      linear(block.inProj, (block.gated ? 2 : 1) * inner, dim);
      shapes.set(block.convWeight, [inner, 9]);
      if (block.convBias !== undefined) shapes.set(block.convBias, [inner]);
      shapes.set(block.xProj, [SCANS * (dtRank + 2 * state), inner]);
      for (const { dtProj, A } of block.scans) {
        linear(dtProj, inner, dtRank);
        shapes.set(A, [inner, state]);
      }
      shapes.set(block.D, [inner]);
      norm(block.outNorm, inner);
      linear(block.outProj, dim, inner);
      break;
    }
    case "pool":
      break;
  }
  return shapes;
}

/** Matrices that may be quantized. The steps' projections, of few columns, are not among them. */
export function imageMatrixNames(block: ImageOnlyBlock): string[] {
  switch (block.kind) {
    case "conv2d":
      return [block.conv.weight];
    case "patch-merge":
      return [block.proj.weight];
    case "ss2d":
      return [block.inProj.weight, block.xProj, block.outProj.weight];
    case "pool":
      return [];
  }
}
