import { KernelError } from "../backend.ts";
import type { Linear, MlpBlock, Norm } from "../blocks.ts";
import {
  type Conv2dBlock,
  type ImageBlock,
  type ImageSize,
  type PatchMergeBlock,
  SCANS,
  type Ss2dBlock,
  sizeBehind,
} from "../image-blocks.ts";
import { roundUp } from "./arena.ts";
import type { Heap } from "./heap.ts";
import { channelStride, type ImageLayout, ownStride, PIECE, streamStride, xzStride } from "./image-layout.ts";
import type { Kernels } from "./kernels.ts";
import { ROWS } from "./placed.ts";
import { prepareInput, projectionKernel } from "./steps.ts";
import { CHANNELS } from "./tensors.ts";

/** A block's steps on one image: kernels, and where its tensors lie. */
class Steps {
  readonly kernels: Kernels;
  readonly layout: ImageLayout;

  constructor(kernels: Kernels, layout: ImageLayout) {
    this.kernels = kernels;
    this.layout = layout;
  }

  at(name: string | undefined): number {
    return name === undefined ? 0 : this.layout.places.get(name)!.offset;
  }

  /** y = norm(x), `count` positions of `dim` values. */
  normalize(norm: Norm, dim: number, x: number, stride: number, count: number, y: number, yStride: number): void {
    const weight = this.at(norm.weight);
    if (norm.type === "rms") this.kernels.rms_norm(x, stride, count, dim, weight, norm.eps, y, yStride);
    else this.kernels.layer_norm(x, stride, count, dim, weight, this.at(norm.bias), norm.eps, y, yStride);
  }

  /** y = W x + b, or y += W x + b, of at most PIECE positions. */
  project(l: Linear, x: number, stride: number, count: number, y: number, yStride: number, accumulate = 0): void {
    const matrix = this.layout.places.get(l.weight)!;
    const bias = this.at(l.bias);
    const input = prepareInput(this.kernels, this.layout.buffers, { matrix, bias }, x, stride, count);
    const kernel = projectionKernel(this.kernels, matrix);
    kernel(matrix.offset, matrix.rows, matrix.cols, input, count, bias, y, yStride, accumulate);
  }
}

/** Runs one block on one image's stream at `u`, which it changes or makes anew. Pixels, which the first block reads, have no padding. */
export function runImageBlock(
  kernels: Kernels,
  heap: Heap,
  layout: ImageLayout,
  block: ImageBlock,
  u: number,
  size: ImageSize,
  isFirst: boolean,
): void {
  const steps = new Steps(kernels, layout);
  const { next } = layout.buffers;
  const positions = size.height * size.width;
  const stride = streamStride(block.dim);
  /** `next` becomes the stream. */
  const replace = (floats: number): void => {
    heap.f32.copyWithin(u / 4, next / 4, next / 4 + floats);
  };
  switch (block.kind) {
    case "conv2d":
    case "patch-merge": {
      const behind = sizeBehind(block, size);
      runConvolution(steps, block, u, isFirst ? block.inputs : streamStride(block.inputs), size, behind);
      replace(behind.height * behind.width * stride);
      break;
    }
    case "ss2d":
      runSs2d(steps, block, u, size);
      break;
    case "mlp":
      runMlp(steps, block, u, positions);
      break;
    case "norm":
      steps.normalize(block.norm, block.dim, u, stride, positions, u, stride);
      break;
    case "pool":
      kernels.mean_rows(u, stride, positions, block.dim, next);
      replace(block.dim);
      break;
    case "head":
      steps.project(block.proj, u, stride, 1, next, streamStride(block.vocab));
      replace(block.vocab);
      break;
  }
}

function pieces(positions: number, run: (first: number, count: number) => void): void {
  for (let first = 0; first < positions; first += PIECE) run(first, Math.min(PIECE, positions - first));
}

function runConvolution(
  steps: Steps,
  block: Conv2dBlock | PatchMergeBlock,
  u: number,
  stride: number,
  { height, width }: ImageSize,
  behind: ImageSize,
): void {
  const { kernels, layout } = steps;
  const { piece, next } = layout.buffers;
  const merges = block.kind === "patch-merge";
  const [kernel, step, padding] = merges ? [2, 2, 0] : [block.kernel, block.stride, block.padding];
  const columns = kernel * kernel * block.inputs;
  const yStride = streamStride(block.dim);
  pieces(behind.height * behind.width, (first, count) => {
    const y = next + 4 * first * yStride;
    const transposed = merges ? 1 : 0;
    kernels.patches(
      u,
      stride,
      height,
      width,
      block.inputs,
      kernel,
      step,
      padding,
      transposed,
      first,
      count,
      behind.width,
      piece,
    );
    if (merges) {
      steps.normalize(block.norm, columns, piece, columns, count, piece, columns);
      steps.project(block.proj, piece, columns, count, y, yStride);
      return;
    }
    steps.project(block.conv, piece, columns, count, y, yStride);
    if (block.norm !== undefined) steps.normalize(block.norm, block.dim, y, yStride, count, y, yStride);
    if (block.gelu) kernels.gelu(y, yStride, count, block.dim);
  });
}

function runMlp(steps: Steps, block: MlpBlock, u: number, positions: number): void {
  const { piece, hidden } = steps.layout.buffers;
  const { dim } = block;
  const stride = streamStride(dim);
  const hiddenStride = roundUp(block.hidden, ROWS);
  const activate = block.gelu === "exact" ? steps.kernels.gelu : steps.kernels.gelu_tanh;
  pieces(positions, (first, count) => {
    const at = u + 4 * first * stride;
    steps.normalize(block.norm, dim, at, stride, count, piece, stride);
    steps.project(block.up, piece, stride, count, hidden, hiddenStride);
    activate(hidden, hiddenStride, count, block.hidden);
    steps.project(block.down, hidden, hiddenStride, count, at, stride, 1);
  });
}

function runSs2d(steps: Steps, block: Ss2dBlock, u: number, size: ImageSize): void {
  const { kernels, layout } = steps;
  const { piece, xz, x, y, own } = layout.buffers;
  const { dim, inner, gated } = block;
  const positions = size.height * size.width;
  const stride = streamStride(dim);
  const [zStride, xStride] = [xzStride(inner, gated), channelStride(inner)];
  const ownWidth = ownStride(block.dtRank, block.state);
  pieces(positions, (first, count) => {
    steps.normalize(block.norm, dim, u + 4 * first * stride, stride, count, piece, stride);
    steps.project(block.inProj, piece, stride, count, xz + 4 * first * zStride, zStride);
  });
  const [weight, bias] = [steps.at(block.convWeight), steps.at(block.convBias)];
  for (let c = 0; c < inner; c += CHANNELS) {
    const b = bias === 0 ? 0 : bias + 4 * c;
    const { height, width } = size;
    kernels.depthwise_conv(xz + 4 * c, zStride, height, width, weight + 4 * 9 * c, b, x + 4 * c, xStride);
  }
  pieces(positions, (first, count) => {
    steps.project(
      { weight: block.xProj },
      x + 4 * first * xStride,
      xStride,
      count,
      own + 4 * first * ownWidth,
      ownWidth,
    );
  });
  const D = steps.at(block.D);
  for (let c = 0; c < inner; c += CHANNELS) {
    for (let k = 0; k < SCANS; k++) scan(steps, block, size, k, c, k === 0 ? D + 4 * c : 0, y);
  }
  pieces(positions, (first, count) => {
    steps.normalize(block.outNorm, inner, y + 4 * first * xStride, xStride, count, piece, xStride);
    if (gated) kernels.gate(piece, xStride, xz + 4 * (first * zStride + inner), zStride, count, inner);
    steps.project(block.outProj, piece, xStride, count, u + 4 * first * stride, stride, 1);
  });
}

/** Scan k of 16 channels from c on; D at 0: adds to what `y` holds. */
function scan(steps: Steps, block: Ss2dBlock, size: ImageSize, k: number, c: number, D: number, y: number): void {
  const { x, own, h } = steps.layout.buffers;
  const { inner, dtRank: rank, state: N } = block;
  const { dtProj, A } = block.scans[k]!;
  const [weight, bias] = [steps.at(dtProj.weight), steps.at(dtProj.bias)];
  if (bias === 0) throw new KernelError("the steps of an SS2D scan need a bias");
  const stride = channelStride(inner);
  const mine = own + 4 * k * (rank + 2 * N);
  const ownWidth = ownStride(rank, N);
  steps.kernels.scan_2d(
    x + 4 * c,
    stride,
    size.height,
    size.width,
    k,
    mine,
    ownWidth,
    rank,
    weight + 4 * c * rank,
    bias + 4 * c,
    steps.at(A) + 4 * c * N,
    D,
    h,
    y + 4 * c,
    N,
  );
}

/** (4, height, width): the root mean square of C h over the channels, of the SS2D that ran last. */
export function scanResponses(
  kernels: Kernels,
  heap: Heap,
  layout: ImageLayout,
  block: Ss2dBlock,
  size: ImageSize,
): Float32Array {
  const steps = new Steps(kernels, layout);
  const { y } = layout.buffers;
  const { inner } = block;
  const positions = size.height * size.width;
  const stride = channelStride(inner);
  const values = new Float32Array(SCANS * positions);
  for (let k = 0; k < SCANS; k++) {
    heap.f32.fill(0, y / 4, y / 4 + positions * stride);
    for (let c = 0; c < inner; c += CHANNELS) scan(steps, block, size, k, c, 0, y);
    const { f32 } = heap;
    for (let p = 0; p < positions; p++) {
      let squares = 0;
      for (let c = 0; c < inner; c++) squares += f32[y / 4 + p * stride + c]! ** 2;
      values[k * positions + p] = Math.sqrt(squares / inner);
    }
  }
  return values;
}
