import { type CompileOptions, type ImageInput, KernelError } from "./backend.ts";
import type { Block } from "./blocks.ts";
import { type ImageBlock, type ImageSize, imageChannels, imageSizes } from "./image-blocks.ts";

/** The checks that every backend makes before it runs an image model. */

const DEFAULT_SIDE = 224;
const DEFAULT_IMAGES = 8;

/**
 * Checks that the blocks of an image model follow one another as they must: each reads what the one before it gives.
 * @throws KernelError naming the block that is out of place
 */
export function checkImageOrder(blocks: readonly Block[]): asserts blocks is readonly ImageBlock[] {
  let dim = imageChannels(blocks);
  let pooled = false;
  blocks.forEach((block, i) => {
    const where = `block ${i} (${block.kind})`;
    switch (block.kind) {
      case "conv2d":
      case "patch-merge":
      case "ss2d":
      case "mlp":
      case "norm":
      case "pool":
      case "head":
        break;
      default:
        throw new KernelError(`${where} has no place in an image model`);
    }
    const reads = "inputs" in block ? block.inputs : block.dim;
    if (reads !== dim) throw new KernelError(`${where} reads ${reads} channels, the block before it gives ${dim}`);
    if ((block.kind === "head") !== (i === blocks.length - 1))
      throw new KernelError(`${where}: the head of an image model comes last, and nothing else`);
    if (block.kind === "head" && !pooled) throw new KernelError(`${where} follows no pool: a head needs one position`);
    pooled = block.kind === "pool";
    dim = block.dim;
  });
  if (dim === 0) throw new KernelError("an image model begins with a conv2d of at least one channel");
}

/** The largest image and the most images of a pass. @throws KernelError when they are no whole numbers ≥ 1 */
export function checkImageOptions({ maxImage, maxImages = DEFAULT_IMAGES }: CompileOptions): {
  maxImage: ImageSize;
  maxImages: number;
} {
  const { height, width } = maxImage ?? { height: DEFAULT_SIDE, width: DEFAULT_SIDE };
  for (const [name, value] of Object.entries({ "maxImage.height": height, "maxImage.width": width, maxImages })) {
    if (!Number.isInteger(value) || value < 1) throw new KernelError(`${name} must be a whole number ≥ 1, is ${value}`);
  }
  return { maxImage: { height, width }, maxImages };
}

/** Checks a batch. @throws KernelError saying which image is wrong and how */
export function checkImages(
  blocks: readonly Block[],
  maxImages: number,
  images: readonly ImageInput[],
  observe: number | undefined,
): void {
  const channels = imageChannels(blocks);
  if (images.length === 0) throw new KernelError("a pass needs at least one image");
  if (images.length > maxImages) {
    throw new KernelError(`a pass takes at most ${maxImages} images, ${images.length} were given: split the batch`);
  }
  images.forEach(({ height, width, pixels }, i) => {
    if (!(Number.isInteger(height) && Number.isInteger(width) && height >= 1 && width >= 1)) {
      throw new KernelError(`image ${i} is ${height} × ${width}: sizes are whole numbers ≥ 1`);
    }
    if (pixels.length !== channels * height * width) {
      throw new KernelError(
        `image ${i} of ${height} × ${width} has ${pixels.length} values, ${channels} channels take ${channels * height * width}`,
      );
    }
    const small = imageSizes(blocks, { height, width }).findIndex((s) => s.height < 1 || s.width < 1);
    if (small > 0)
      throw new KernelError(
        `image ${i} of ${height} × ${width} is too small: nothing is left of it after block ${small - 1}`,
      );
    const bad = firstNotFinite(pixels);
    if (bad >= 0) throw new KernelError(`value ${bad} of image ${i} is ${pixels[bad]}: pixels must be finite`);
  });
  if (observe !== undefined && blocks[observe]?.kind !== "ss2d") {
    throw new KernelError(`block ${observe} is ${blocks[observe]?.kind ?? "none"}: only ss2d blocks have responses`);
  }
}

/** Index of the first value that is not finite, or −1. v − v is 0 of finite ones; a callback for each takes several times as long. */
function firstNotFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    if (v - v !== 0) return i;
  }
  return -1;
}

/** The error of sequence calls on an image model. */
export function noSequences(): KernelError {
  return new KernelError("this model is fed images and has no sequences: use images.begin");
}
