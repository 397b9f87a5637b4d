import { type CompileOptions, KernelError, type MemoryPlan, type TensorSpec } from "../../backend.ts";
import type { Block } from "../../blocks.ts";
import { checkImageOptions, checkImageOrder } from "../../check-images.ts";
import { type ImageBlock, type ImageSize, imageChannels, imageSizes, SCANS } from "../../image-blocks.ts";
import { pad } from "../sizes.ts";
import { PRODUCT_TILE } from "../wgsl/product.ts";
import { checkSizes } from "./kernels.ts";
import { MOST_GROUPS } from "./launches.ts";
import { planTensors, type TensorPlan } from "./tensors.ts";

/**
 * f32s that an image takes of each buffer. A block that makes the stream anew reads it from one of `even` and `odd` and writes it to the
 * other; these two are there for each image, what follows once.
 */
export interface ImageFloats {
  /** the pixels, and the stream after an even number of such blocks. */
  readonly even: number;
  readonly odd: number;
  /** what a convolution sees, a row a place. */
  readonly patches: number;
  /** what is normalized, or is to be. */
  readonly normed: number;
  readonly hidden: number;
  /** x and z of an SS2D. */
  readonly xz: number;
  readonly x: number;
  /** dt, B and C of the four scans. */
  readonly own: number;
  /** what the four scans answer. */
  readonly scans: number;
  readonly responses: number;
}

/** Everything that can be known of an image model before a device is touched. */
export interface ImagePlan {
  readonly tensors: TensorPlan;
  readonly blocks: readonly ImageBlock[];
  readonly floats: ImageFloats;
  readonly maxImage: ImageSize;
  readonly maxImages: number;
  /** of the largest image, behind a block. */
  readonly positions: (block: number) => number;
  readonly memory: MemoryPlan;
}

/** Positions of an image in a block: a product's workgroups in one dimension. */
const MOST_POSITIONS = MOST_GROUPS * PRODUCT_TILE;

/** f32s from one position to the next, of so many channels. */
export const rowStride = (channels: number): number => pad(channels, 8);

/** Whether a block makes the stream anew. */
export function renews(block: ImageBlock): boolean {
  return block.kind !== "ss2d" && block.kind !== "mlp";
}

/** Width of the stream behind a block. */
export const widthBehind = (block: ImageBlock): number => (block.kind === "head" ? block.vocab : block.dim);

export function imageFloats(blocks: readonly ImageBlock[], image: ImageSize): ImageFloats {
  const sizes = imageSizes(blocks, image);
  const floats = { even: imageChannels(blocks) * image.height * image.width, odd: 0, patches: 0, normed: 0, hidden: 0 };
  const all = { ...floats, ...{ xz: 0, x: 0, own: 0, scans: 0, responses: 0 } };
  const most = (needs: Partial<ImageFloats>, positions: number): void => {
    for (const [name, channels] of Object.entries(needs) as [keyof ImageFloats, number][])
      all[name] = Math.max(all[name], positions * channels);
  };
  let even = true;
  blocks.forEach((block, i) => {
    const behind = sizes[i + 1]!;
    const positions = behind.height * behind.width;
    if (renews(block)) even = !even;
    most({ [even ? "even" : "odd"]: rowStride(widthBehind(block)) }, positions);
    switch (block.kind) {
      case "conv2d":
        most({ patches: rowStride(block.kernel ** 2 * block.inputs), normed: rowStride(block.dim) }, positions);
        break;
      case "patch-merge":
        most({ patches: rowStride(4 * block.inputs), normed: rowStride(4 * block.inputs) }, positions);
        break;
      case "mlp":
        most({ normed: rowStride(block.dim), hidden: rowStride(block.hidden) }, positions);
        break;
      case "ss2d": {
        const { dim, inner, state, dtRank, gated } = block;
        const x = rowStride(inner);
        const scans = { own: rowStride(SCANS * (dtRank + 2 * state)), scans: SCANS * x, responses: SCANS };
        most({ normed: rowStride(dim), xz: rowStride((gated ? 2 : 1) * inner), x, ...scans }, positions);
        break;
      }
    }
  });
  return all;
}

/** @throws KernelError when a product would take more workgroups than WebGPU's default limits allow */
function checkGrid(blocks: readonly ImageBlock[], image: ImageSize): void {
  const positions = Math.max(
    ...imageSizes(blocks, image)
      .slice(1)
      .map(({ height, width }) => height * width),
  );
  if (positions <= MOST_POSITIONS) return;
  throw new KernelError(
    `an image of ${image.height} × ${image.width} has ${positions} positions in a block, the webgpu backend takes up to ${MOST_POSITIONS}: compile with a smaller maxImage`,
  );
}

/** @throws KernelError */
export function planImages(
  blocks: readonly Block[],
  specs: ReadonlyMap<string, TensorSpec>,
  options: CompileOptions,
  bindingLimit: number,
  matrixLimit = bindingLimit,
): ImagePlan {
  checkImageOrder(blocks);
  const tensors = planTensors(blocks, specs, bindingLimit, matrixLimit);
  checkSizes(blocks);
  const { maxImage, maxImages } = checkImageOptions(options);
  const floats = imageFloats(blocks, maxImage);
  let activations = 0;
  for (const [name, count] of Object.entries(floats)) {
    activations += 4 * count * (name === "even" || name === "odd" ? maxImages : 1);
    if (4 * count > bindingLimit) {
      throw new KernelError(
        `an image of ${maxImage.height} × ${maxImage.width} needs ${4 * count} bytes for ${name}, this device binds ${bindingLimit}: compile with a smaller maxImage`,
      );
    }
  }
  checkGrid(blocks, maxImage);
  const memory = { weights: tensors.bytes, activations, statePerSequence: 0 };
  const sizes = imageSizes(blocks, maxImage);
  const positions = (block: number): number => sizes[block + 1]!.height * sizes[block + 1]!.width;
  return { tensors, blocks, floats, maxImage, maxImages, positions, memory };
}
