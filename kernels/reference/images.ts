import { type ImageInput, type ImageOutput, type ImagePass, KernelError, type ScanResponses } from "../backend.ts";
import type { Norm } from "../blocks.ts";
import {
  type Conv2dBlock,
  type ImageBlock,
  type ImageSize,
  type PatchMergeBlock,
  SCANS,
  type Ss2dBlock,
  sizeBehind,
} from "../image-blocks.ts";
import { mlpStep } from "./attention.ts";
import { gelu } from "./s4d.ts";
import { linear, normalize, type Observer, silu, softplus, type Weights } from "./steps.ts";

/**
 * VMamba's arithmetic (Liu et al. 2024, arXiv 2401.10166) in f64. A stream is a list of positions, row by row, a vector of channels each.
 */
export interface Stream extends ImageSize {
  readonly at: readonly Float64Array[];
}

/** What a step needs of its executable. */
export interface Context {
  readonly weights: Weights;
  readonly observe?: Observer | undefined;
}

/** (channels, height, width) → positions. */
export function toStream({ height, width, pixels }: ImageInput): Stream {
  const area = height * width;
  const channels = pixels.length / area;
  const at = Array.from({ length: area }, (_, p) =>
    Float64Array.from({ length: channels }, (_, c) => pixels[c * area + p]!),
  );
  return { height, width, at };
}

/** The position at (row, column), zeros outside. */
function pixel({ height, width, at }: Stream, row: number, column: number): Float64Array {
  const inside = row >= 0 && row < height && column >= 0 && column < width;
  return inside ? at[row * width + column]! : new Float64Array(at[0]!.length);
}

function join(parts: readonly Float64Array[]): Float64Array {
  const width = parts[0]!.length;
  const out = new Float64Array(parts.length * width);
  parts.forEach((part, i) => {
    out.set(part, i * width);
  });
  return out;
}

function map(size: ImageSize, value: (row: number, column: number) => Float64Array): Stream {
  const { height, width } = size;
  const at = Array.from({ length: height * width }, (_, p) => value(Math.floor(p / width), p % width));
  return { height, width, at };
}

export function conv2d(block: Conv2dBlock, { weights, observe }: Context, u: Stream): Stream {
  const { kernel, stride, padding } = block;
  const taps = Array.from({ length: kernel * kernel }, (_, i) => [Math.floor(i / kernel), i % kernel] as const);
  return map(sizeBehind(block, u), (row, column) => {
    const patch = taps.map(([r, c]) => pixel(u, row * stride - padding + r, column * stride - padding + c));
    let y = linear(block.conv, weights, join(patch), observe);
    if (block.norm !== undefined) y = normalize(block.norm, weights, y);
    return block.gelu ? y.map(gelu) : y;
  });
}

export function patchMerge(block: PatchMergeBlock, { weights, observe }: Context, u: Stream): Stream {
  return map(sizeBehind(block, u), (row, column) => {
    const [r, c] = [2 * row, 2 * column];
    const patch = join([pixel(u, r, c), pixel(u, r + 1, c), pixel(u, r, c + 1), pixel(u, r + 1, c + 1)]);
    return linear(block.proj, weights, normalize(block.norm, weights, patch), observe);
  });
}

/** silu of the depthwise 3 × 3 convolution. */
export function depthwise(
  block: Pick<Ss2dBlock, "inner" | "convWeight" | "convBias">,
  { weights }: Context,
  x: Stream,
): Stream {
  const w = weights(block.convWeight);
  const b = block.convBias === undefined ? undefined : weights(block.convBias);
  return map(x, (row, column) => {
    const near = Array.from({ length: 9 }, (_, i) => pixel(x, row - 1 + Math.floor(i / 3), column - 1 + (i % 3)));
    return Float64Array.from({ length: block.inner }, (_, c) =>
      silu(near.reduce((sum, v, i) => sum + w[9 * c + i]! * v[c]!, b?.[c] ?? 0)),
    );
  });
}

/** Positions in the order of a scan: 0 row by row, 1 column by column, 2 and 3 the same from the end. */
export function scanOrder({ height, width }: ImageSize, scan: number): number[] {
  const rows = Array.from({ length: height * width }, (_, i) => i);
  const order = scan % 2 === 0 ? rows : rows.map((i) => (i % height) * width + Math.floor(i / height));
  return scan < 2 ? order : order.reverse();
}

/** C h of one scan at every position. @param projected xProj of each position: dt, B and C of all four scans */
export function scan2d(
  block: Ss2dBlock,
  { weights }: Context,
  x: Stream,
  projected: readonly Float64Array[],
  k: number,
): Stream {
  const { inner, state: N, dtRank: R } = block;
  const { dtProj, A: name } = block.scans[k]!;
  const A = weights(name);
  const h = new Float64Array(inner * N);
  const at: Float64Array[] = [];
  for (const p of scanOrder(x, k)) {
    const own = projected[p]!.subarray(k * (R + 2 * N), (k + 1) * (R + 2 * N));
    const [B, C] = [own.subarray(R, R + N), own.subarray(R + N)];
    const dt = linear(dtProj, weights, own.subarray(0, R)).map(softplus);
    at[p] = Float64Array.from({ length: inner }, (_, i) => {
      let y = 0;
      for (let n = 0; n < N; n++) {
        const j = i * N + n;
        h[j] = Math.exp(dt[i]! * A[j]!) * h[j]! + dt[i]! * B[n]! * x.at[p]![i]!;
        y += C[n]! * h[j]!;
      }
      return y;
    });
  }
  return { ...x, at };
}

/** Changes u. @returns the scans' responses */
export function ss2d(block: Ss2dBlock, context: Context, u: Stream): ScanResponses {
  const { weights, observe } = context;
  const { inner } = block;
  const xz = u.at.map((v) => linear(block.inProj, weights, normalize(block.norm, weights, v), observe));
  const x = depthwise(block, context, { ...u, at: xz.map((v) => v.subarray(0, inner)) });
  const projected = x.at.map((v) => linear({ weight: block.xProj }, weights, v, observe));
  const scans = Array.from({ length: SCANS }, (_, k) => scan2d(block, context, x, projected, k));
  const D = weights(block.D);
  u.at.forEach((v, p) => {
    const y = x.at[p]!.map((xi, i) => scans.reduce((sum, s) => sum + s.at[p]![i]!, D[i]! * xi));
    let out = normalize(block.outNorm, weights, y);
    if (block.gated) out = out.map((o, i) => o * silu(xz[p]![inner + i]!));
    linear(block.outProj, weights, out, observe).forEach((o, i) => {
      v[i]! += o;
    });
  });
  const rms = (y: Float64Array): number => Math.sqrt(y.reduce((sum, v) => sum + v * v, 0) / y.length);
  const values = Float32Array.from(scans.flatMap((s) => s.at.map(rms)));
  return { height: u.height, width: u.width, values };
}

function mapAll(u: Stream, norm: Norm, { weights }: Context): Stream {
  return { ...u, at: u.at.map((v) => normalize(norm, weights, v)) };
}

export function mean(u: Stream): Stream {
  const sum = new Float64Array(u.at[0]!.length);
  for (const v of u.at) {
    v.forEach((x, i) => {
      sum[i]! += x;
    });
  }
  return { height: 1, width: 1, at: [sum.map((v) => v / u.at.length)] };
}

/** What a pass needs of its executable. */
interface Host extends Context {
  readonly blocks: readonly ImageBlock[];
  blocksLoaded(): number;
  isOpen(pass: ImagePass): boolean;
}

export class ReferenceImagePass implements ImagePass {
  block = 0;
  readonly #host: Host;
  readonly #wanted: number | undefined;
  readonly #images: { stream: Stream; responses?: ScanResponses }[];

  constructor(host: Host, images: readonly ImageInput[], observe: number | undefined) {
    this.#host = host;
    this.#wanted = observe;
    this.#images = images.map((image) => ({ stream: toStream(image) }));
  }

  advance(end = this.#host.blocks.length): void {
    if (!this.#host.isOpen(this))
      throw new KernelError("another pass was opened since: this one can no longer advance");
    for (; this.block < end; this.block++) {
      if (this.block >= this.#host.blocksLoaded()) throw new KernelError(`block ${this.block} is not loaded yet`);
      for (const image of this.#images) this.#apply(this.#host.blocks[this.block]!, image);
    }
  }

  #apply(block: ImageBlock, image: { stream: Stream; responses?: ScanResponses }): void {
    const host = this.#host;
    const { stream } = image;
    switch (block.kind) {
      case "conv2d":
        image.stream = conv2d(block, host, stream);
        break;
      case "patch-merge":
        image.stream = patchMerge(block, host, stream);
        break;
      case "ss2d": {
        const responses = ss2d(block, host, stream);
        if (this.block === this.#wanted) image.responses = responses;
        break;
      }
      case "mlp":
        for (const u of stream.at) mlpStep(block, host.weights, u, host.observe);
        break;
      case "norm":
        image.stream = mapAll(stream, block.norm, host);
        break;
      case "pool":
        image.stream = mean(stream);
        break;
      case "head":
        image.stream = { ...stream, at: [linear(block.proj, host.weights, stream.at[0]!, host.observe)] };
        break;
    }
  }

  async read(): Promise<readonly ImageOutput[]> {
    const total = this.#host.blocks.length;
    if (this.block < total)
      throw new KernelError(`only ${this.block} of ${total} blocks are done: advance the pass first`);
    return this.#images.map(({ stream, responses }) => ({
      logits: Float32Array.from(stream.at[0]!),
      ...(responses && { responses }),
    }));
  }
}
