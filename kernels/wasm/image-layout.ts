import { GROUP } from "../../weights/layout.ts";
import type { CompileOptions, MemoryPlan, TensorSpec } from "../backend.ts";
import type { Block } from "../blocks.ts";
import { checkImageOptions, checkImageOrder } from "../check-images.ts";
import { type ImageBlock, type ImageSize, imageChannels, imageSizes, SCANS } from "../image-blocks.ts";
import { Arena, apart, PAGE, roundUp } from "./arena.ts";
import { ARENA_START } from "./kernels.ts";
import { RECORD_BYTES } from "./layout.ts";
import { ROWS } from "./placed.ts";
import { CHANNELS, type Place, placeTensors } from "./tensors.ts";

/** Positions that go through matrices together: what lies between two of them stays in the second-level cache. */
export const PIECE = 64;

/** f32s of each buffer. `u` is there for each image, the others once. */
export interface ImageFloats {
  /** the stream, or the pixels. */
  readonly u: number;
  /** the stream behind a block that makes it anew. */
  readonly next: number;
  /** x and z of an SS2D, all positions. */
  readonly xz: number;
  /** x behind the depthwise convolution. */
  readonly x: number;
  readonly y: number;
  /** dt, B and C of the four scans. */
  readonly own: number;
}

export type ImageBuffers = Readonly<Record<keyof ImageFloats | "h" | "piece" | "hidden" | "input", number>>;

/** Memory is: stack and constants, weights, buffers. */
export interface ImageLayout {
  readonly blocks: readonly ImageBlock[];
  readonly places: ReadonlyMap<string, Place>;
  readonly floats: ImageFloats;
  readonly buffers: ImageBuffers;
  readonly initialPages: number;
  readonly memory: MemoryPlan;
  readonly maxImage: ImageSize;
  readonly maxImages: number;
}

/** Strides in f32s. */
export const streamStride = (dim: number): number => apart(roundUp(dim, ROWS));
export const channelStride = (inner: number): number => apart(roundUp(inner, CHANNELS));
export const xzStride = (inner: number, gated: boolean): number =>
  apart(roundUp((gated ? inner : 0) + roundUp(inner, CHANNELS), ROWS));
export const ownStride = (dtRank: number, state: number): number => roundUp(SCANS * (dtRank + 2 * state), ROWS);

/** What an image of a size takes. */
export function imageNeeds(blocks: readonly ImageBlock[], image: ImageSize): ImageFloats {
  const sizes = imageSizes(blocks, image);
  const needs = { u: imageChannels(blocks) * image.height * image.width, next: 0, xz: 0, x: 0, y: 0, own: 0 };
  const most = (name: keyof ImageFloats, floats: number): void => {
    needs[name] = Math.max(needs[name], floats);
  };
  blocks.forEach((block, i) => {
    const { height, width } = sizes[i + 1]!;
    const positions = height * width;
    most("u", positions * streamStride(block.kind === "head" ? block.vocab : block.dim));
    if (block.kind !== "ss2d" && block.kind !== "mlp")
      most("next", positions * streamStride(block.kind === "head" ? block.vocab : block.dim));
    if (block.kind !== "ss2d") return;
    most("xz", positions * xzStride(block.inner, block.gated));
    most("x", positions * channelStride(block.inner));
    most("y", positions * channelStride(block.inner));
    most("own", positions * ownStride(block.dtRank, block.state));
  });
  return needs;
}

/** @throws KernelError when tensors are missing or misshapen, or the blocks do not fit one another */
export function planImages(
  blocks: readonly Block[],
  tensors: ReadonlyMap<string, TensorSpec>,
  options: CompileOptions = {},
): ImageLayout {
  checkImageOrder(blocks);
  const { maxImage, maxImages } = checkImageOptions(options);
  const arena = new Arena(ARENA_START);
  const places = placeTensors(blocks, tensors, arena);
  const weights = arena.top - ARENA_START;
  const floats = imageNeeds(blocks, maxImage);
  const widest = (of: (block: ImageBlock) => number): number => Math.max(0, ...blocks.map(of));
  const columns = Math.max(...[...places.values()].filter((p) => p.lanes === ROWS).map((p) => p.cols));
  const buffers = {
    // What reads 16 channels may look behind the last one.
    u: arena.takeF32(maxImages * floats.u + CHANNELS),
    next: arena.takeF32(floats.next + CHANNELS),
    xz: arena.takeF32(floats.xz + CHANNELS),
    x: arena.takeF32(floats.x),
    y: arena.takeF32(floats.y),
    own: arena.takeF32(floats.own),
    h: arena.takeF32(widest((b) => (b.kind === "ss2d" ? b.state * CHANNELS : 0))),
    piece: arena.takeF32(
      PIECE *
        Math.max(
          columns,
          widest((b) => streamStride(b.dim)),
        ),
    ),
    hidden: arena.takeF32(PIECE * widest((b) => (b.kind === "mlp" ? roundUp(b.hidden, ROWS) : 0))),
    input: arena.take(PIECE * Math.max(4 * columns, RECORD_BYTES * Math.ceil(columns / GROUP))),
  };
  const top = roundUp(arena.top, PAGE);
  return {
    blocks,
    places,
    floats,
    buffers,
    initialPages: top / PAGE,
    memory: { weights, activations: top - weights, statePerSequence: 0 },
    maxImage,
    maxImages,
  };
}
