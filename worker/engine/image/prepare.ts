import type { ImageInputSpec } from "../../../weights/image-input.ts";
import type { Raster } from "./raster.ts";
import { resize, type Window } from "./resize.ts";

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

type Cutting = Pick<ImageInputSpec, "height" | "width" | "shortSide">;

/** Pixels, the right way up. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** @returns RGB bytes, height × width × 3 */
export function resizeAndCrop(raster: Raster, spec: Cutting & Pick<ImageInputSpec, "filter">): Uint8Array {
  const { across, down, window } = cutting(raster, spec);
  return resize(raster, across, down, window, spec.filter);
}

/** The part of a picture that is left after resizing and cutting, in the picture's own pixels. */
export function cropOf(size: Size, spec: Cutting): Window {
  const { across, down, window } = cutting(size, spec);
  const [x, y] = [size.width / across, size.height / down];
  return { left: x * window.left, top: y * window.top, width: x * window.width, height: y * window.height };
}

/** The whole picture's size after resizing, and what is cut out of it. */
function cutting(size: Size, { height, width, shortSide }: Cutting): { across: number; down: number; window: Window } {
  const side = (length: number): number => Math.floor((shortSide * length) / Math.min(size.width, size.height));
  const [across, down] = [side(size.width), side(size.height)];
  const window = { left: roundHalfEven((across - width) / 2), top: roundHalfEven((down - height) / 2), width, height };
  return { across, down, window };
}

/** As Python rounds. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}
