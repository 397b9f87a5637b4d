import type { MlpBlock } from "../../blocks.ts";
import {
  type Conv2dBlock,
  type ImageBlock,
  type ImageSize,
  imageChannels,
  imageSizes,
  type PatchMergeBlock,
  SCANS,
  type Ss2dBlock,
} from "../../image-blocks.ts";
import type { Gpu } from "../gpu.ts";
import { f32Word, Params } from "../params.ts";
import type { Pipelines } from "../pipelines.ts";
import type { Recorder } from "../recorder.ts";
import { CHANNELS } from "../wgsl/elementwise.ts";
import { NONE } from "../wgsl/math.ts";
import { POOL_CHANNELS } from "../wgsl/pool.ts";
import { SCAN2D_CHANNELS } from "../wgsl/scan2d.ts";
import { type ImageFloats, renews, rowStride, widthBehind } from "./image-plan.ts";
import type { BlockKernels } from "./kernels.ts";
import { type Dispatch, type Launch, Launches, type Rows, rowGrid } from "./launches.ts";
import type { TensorStore } from "./tensors.ts";

/** The buffers that an image goes through: two of its own, the others shared. */
export type ImageBuffers = Readonly<Record<keyof ImageFloats, GPUBuffer>>;

/** An image on its way: what a block reads, and how large it is. */
interface Stream extends ImageSize {
  readonly rows: Rows;
  readonly positions: number;
}

/** All that is launched for an image of a size in a place, made once. */
export class ImageProgram {
  readonly sizes: readonly ImageSize[];
  /** of the head. */
  readonly logits: GPUBuffer;
  readonly #params: Params;
  readonly #make: Launches;
  readonly #buffers: ImageBuffers;
  readonly #dispatches: readonly (readonly Dispatch[])[];
  /** by ss2d block. */
  readonly #responses = new Map<number, Dispatch>();

  constructor(
    gpu: Gpu,
    pipelines: Pipelines,
    kernels: BlockKernels,
    tensors: TensorStore,
    blocks: readonly ImageBlock[],
    buffers: ImageBuffers,
    image: ImageSize,
  ) {
    this.#params = new Params(gpu);
    this.#make = new Launches(kernels, pipelines, this.#params, tensors);
    this.#buffers = buffers;
    this.sizes = imageSizes(blocks, image);
    let even = true;
    let from: Stream = this.#stream("even", imageChannels(blocks), image);
    this.#dispatches = blocks.map((block, i) => {
      if (renews(block)) even = !even;
      const to = this.#stream(even ? "even" : "odd", widthBehind(block), this.sizes[i + 1]!);
      const dispatches = this.#blockOf(block, i, from, to);
      from = to;
      return dispatches;
    });
    this.logits = from.rows.buffer;
  }

  run(recorder: Recorder, block: number): void {
    for (const { kernel, group, grid } of this.#dispatches[block]!) recorder.dispatch(kernel, [group], ...grid);
  }

  /** Of an ss2d block that has just run, into the buffer for responses. */
  respond(recorder: Recorder, block: number): void {
    const { kernel, group, grid } = this.#responses.get(block)!;
    recorder.dispatch(kernel, [group], ...grid);
  }

  dispose(): void {
    this.#params.dispose();
  }

  #stream(name: "even" | "odd", channels: number, { height, width }: ImageSize): Stream {
    return { height, width, positions: height * width, rows: this.#rows(name, channels) };
  }

  #rows(name: keyof ImageFloats, channels: number): Rows {
    return { buffer: this.#buffers[name], stride: rowStride(channels) };
  }

  #blockOf(block: ImageBlock, i: number, from: Stream, to: Stream): readonly Dispatch[] {
    const make = this.#make;
    const rows = to.positions;
    switch (block.kind) {
      case "conv2d":
        return this.#conv2d(block, i, from, to);
      case "patch-merge":
        return this.#patchMerge(block, i, from, to);
      case "ss2d":
        return this.#ss2d(block, i, to);
      case "mlp":
        return this.#mlp(block, i, to);
      case "norm":
        return atRows(rows, [make.norm(i, block.norm, block.dim, from.rows, to.rows, rows)]);
      case "head":
        return atRows(rows, make.product(i, block.proj, from.rows, to.rows, rows));
      case "pool": {
        const words = [from.positions, block.dim, from.rows.stride];
        const group = make.bind("rwu", [from.rows.buffer, to.rows.buffer], words);
        return [{ kernel: make.kernels.get("pool"), group, grid: [Math.ceil(block.dim / POOL_CHANNELS)] }];
      }
    }
  }

  /** The pixels have their channels first, any other stream last. */
  #conv2d(block: Conv2dBlock, i: number, from: Stream, to: Stream): readonly Dispatch[] {
    const { inputs, dim, kernel, stride, padding, conv, norm, gelu } = block;
    const make = this.#make;
    const rows = to.positions;
    const strides = i === 0 ? [from.width, 1, from.positions] : [from.width * from.rows.stride, from.rows.stride, 1];
    const patches = this.#rows("patches", kernel ** 2 * inputs);
    const seen = this.#patches(from, to, patches, [inputs, ...strides], [kernel, stride, padding, 0]);
    if (norm === undefined) {
      const act = gelu ? "exact" : "none";
      return [seen, ...atRows(rows, make.product(i, conv, patches, to.rows, rows, { act }))];
    }
    const normed = this.#rows("normed", dim);
    return [
      seen,
      ...atRows(rows, [
        ...make.product(i, conv, patches, normed, rows),
        make.norm(i, norm, dim, normed, to.rows, rows, gelu),
      ]),
    ];
  }

  #patchMerge({ inputs, norm, proj }: PatchMergeBlock, i: number, from: Stream, to: Stream): readonly Dispatch[] {
    const rows = to.positions;
    const [patches, normed] = [this.#rows("patches", 4 * inputs), this.#rows("normed", 4 * inputs)];
    const { stride } = from.rows;
    return [
      this.#patches(from, to, patches, [inputs, from.width * stride, stride, 1], [2, 2, 0, 1]),
      ...atRows(rows, [
        this.#make.norm(i, norm, 4 * inputs, patches, normed, rows),
        ...this.#make.product(i, proj, normed, to.rows, rows),
      ]),
    ];
  }

  /** @param image channels, then strides of row, column and channel  @param window kernel, stride, padding, by column */
  #patches(from: Stream, to: Stream, patches: Rows, image: number[], window: number[]): Dispatch {
    const words = [from.height, from.width, ...image, to.width, patches.stride, ...window];
    const group = this.#make.bind("rwu", [from.rows.buffer, patches.buffer], words);
    const columns = window[0]! ** 2 * image[0]!;
    return {
      kernel: this.#make.kernels.get("patches"),
      group,
      grid: [Math.ceil(columns / CHANNELS), to.width, to.height],
    };
  }

  #mlp(
    { dim, hidden, gelu, norm, up, down }: MlpBlock,
    i: number,
    { rows: u, positions }: Stream,
  ): readonly Dispatch[] {
    const make = this.#make;
    const [normed, inside] = [this.#rows("normed", dim), this.#rows("hidden", hidden)];
    return atRows(positions, [
      make.norm(i, norm, dim, u, normed, positions),
      ...make.product(i, up, normed, inside, positions, { act: gelu ?? "tanh" }),
      ...make.product(i, down, inside, u, positions, { add: true }),
    ]);
  }

  #ss2d(block: Ss2dBlock, i: number, { rows: u, positions, height, width }: Stream): readonly Dispatch[] {
    const { dim, inner, state, dtRank, gated, norm, inProj, xProj, outProj } = block;
    const { kernels, tensors } = this.#make;
    const make = this.#make;
    const [normed, xz] = [this.#rows("normed", dim), this.#rows("xz", (gated ? 2 : 1) * inner)];
    const [x, own] = [this.#rows("x", inner), this.#rows("own", SCANS * (dtRank + 2 * state))];
    const V = tensors.vectors(i);
    const { scans, responses } = this.#buffers;
    const taps = [tensors.at(i, block.convWeight), tensors.at(i, block.convBias)];
    const depthwise = make.bind("rrwu", [xz.buffer, V, x.buffer], [height, width, inner, xz.stride, x.stride, ...taps]);
    const scanWords = [height, width, inner, x.stride, own.stride, dtRank, 0, 0];
    for (const { dtProj } of block.scans) scanWords.push(tensors.at(i, dtProj.weight));
    for (const { dtProj } of block.scans) scanWords.push(tensors.at(i, dtProj.bias));
    for (const { A } of block.scans) scanWords.push(tensors.at(i, A));
    const answered = make.bind("rwu", [scans, responses], [SCANS * positions, inner, x.stride]);
    this.#responses.set(i, { kernel: kernels.get("responses"), group: answered, grid: rowGrid(SCANS * positions) });
    return [
      ...atRows(positions, [
        make.norm(i, norm, dim, u, normed, positions),
        ...make.product(i, inProj, normed, xz, positions),
      ]),
      { kernel: kernels.get("depthwise"), group: depthwise, grid: [Math.ceil(inner / CHANNELS), width, height] },
      ...atRows(positions, make.product(i, { weight: xProj }, x, own, positions)),
      {
        kernel: kernels.get(`scan2d ${state}`),
        group: make.bind("rrrwu", [x.buffer, own.buffer, V, scans], scanWords),
        grid: [Math.ceil(inner / SCAN2D_CHANNELS), SCANS],
      },
      this.#merge(block, i, x, xz, positions),
      ...atRows(positions, make.product(i, outProj, x, u, positions, { add: true })),
    ];
  }

  #merge({ inner, gated, D, outNorm }: Ss2dBlock, i: number, x: Rows, xz: Rows, positions: number): Dispatch {
    const { kernels, tensors } = this.#make;
    const bias = outNorm.type === "layer" ? outNorm.bias : undefined;
    const words = [positions, inner, x.stride, xz.stride, gated ? inner : NONE];
    const vectors = [D, outNorm.weight, bias].map((name) => tensors.at(i, name));
    const slices = [x.buffer, this.#buffers.scans, xz.buffer, tensors.vectors(i)];
    const group = this.#make.bind("wrrru", slices, [...words, ...vectors, f32Word(outNorm.eps)]);
    return { kernel: kernels.get("merge"), group, grid: rowGrid(positions) };
  }
}

function atRows(rows: number, launches: readonly Launch[]): Dispatch[] {
  return launches.map((at) => at(rows));
}
