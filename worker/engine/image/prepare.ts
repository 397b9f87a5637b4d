import type { ImageInputSpec } from "../../../weights/image-input.ts";
import type { Raster } from "./raster.ts";
import { resize } from "./resize.ts";

/**
 * Resizes the short side, cuts out the middle and normalises, with sizes rounded as torchvision's Resize and CenterCrop round them.
 * @returns R, G, B planes: (3, height, width)
 */
export function prepare(raster: Raster, spec: ImageInputSpec): Float32Array {
  const { mean, std } = spec;
  const rgb = resizeAndCrop(raster, spec);
  const plane = spec.height * spec.width;
  const pixels = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    const [m, s] = [mean[channel]!, std[channel]!];
    for (let i = 0; i < plane; i++) pixels[channel * plane + i] = (rgb[3 * i + channel]! / 255 - m) / s;
  }
  return pixels;
}

/** @returns RGB bytes, height × width × 3 */
export function resizeAndCrop(
  raster: Raster,
  { height, width, shortSide, filter }: Pick<ImageInputSpec, "height" | "width" | "shortSide" | "filter">,
): Uint8Array {
  const side = (length: number): number => Math.floor((shortSide * length) / Math.min(raster.width, raster.height));
  const [across, down] = [side(raster.width), side(raster.height)];
  const window = { left: roundHalfEven((across - width) / 2), top: roundHalfEven((down - height) / 2), width, height };
  return resize(raster, across, down, window, filter);
}

/** As Python rounds. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}
