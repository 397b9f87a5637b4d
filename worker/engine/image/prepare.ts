import type { Raster } from "./raster.ts";
import { resizeBicubic } from "./resize.ts";

/** What becomes of a picture before a model sees it. */
export interface Preparation {
  /** pixels of the short side after resizing. */
  readonly resize: number;
  /** pixels of each side of the square that is cut out of the middle. */
  readonly crop: number;
  /** of R, G, B as parts of 1. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/**
 * Resizes the short side, cuts out the middle and normalises, with sizes rounded as torchvision's Resize and CenterCrop round them.
 * @returns R, G, B planes: 3 × crop × crop
 */
export function prepare(raster: Raster, preparation: Preparation): Float32Array {
  const { resize, crop, mean, std } = preparation;
  const rgb = resizeAndCrop(raster, resize, crop);
  const plane = crop * crop;
  const pixels = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    const [m, s] = [mean[channel]!, std[channel]!];
    for (let i = 0; i < plane; i++) pixels[channel * plane + i] = (rgb[3 * i + channel]! / 255 - m) / s;
  }
  return pixels;
}

/** @returns RGB bytes, crop × crop × 3. A crop larger than the short side is made of it: the picture is resized to the crop. */
export function resizeAndCrop(raster: Raster, resize: number, crop: number): Uint8Array {
  const short = Math.max(resize, crop);
  const side = (length: number): number => Math.floor((short * length) / Math.min(raster.width, raster.height));
  const [width, height] = [side(raster.width), side(raster.height)];
  const middle = (length: number): number => roundHalfEven((length - crop) / 2);
  return resizeBicubic(raster, width, height, {
    left: middle(width),
    top: middle(height),
    width: crop,
    height: crop,
  });
}

/** As Python rounds. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}
