import type { Raster } from "./raster.ts";

/** A part of the resized picture, in its pixels. */
export interface Window {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

const A = -0.5;
const FILTERS = {
  bicubic: { support: 2, kernel: cubic },
  bilinear: { support: 1, kernel: (x: number): number => Math.max(0, 1 - Math.abs(x)) },
};
export type Filter = keyof typeof FILTERS;

/** Bits of a weight after the point: a sum of weights that overshoot, times 255, stays within an i32. */
const PRECISION = 22;

/** For each output pixel of a range the input pixels that it is a sum of, and their weights. */
interface Weights {
  /** first input pixel of each output pixel. */
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** `most` of each output pixel; fixed point. */
  readonly values: Int32Array;
  readonly most: number;
}

/**
 * Bicubic (a = −0.5) or bilinear, antialiased by widening the kernel where the picture gets smaller, columns before rows: the arithmetic of
 * Pillow's Image.resize (src/libImaging/Resample.c), in fixed point as there, so that the bytes are the same.
 * @param width of the whole resized picture @param height likewise
 * @param window the part of it that is computed
 * @returns RGB, window.height × window.width × 3
 */
export function resize(raster: Raster, width: number, height: number, window: Window, filter: Filter): Uint8Array {
  const columns = weightsOf(raster.width, width, window.left, window.width, filter);
  const rows = weightsOf(raster.height, height, window.top, window.height, filter);
  const firstRow = rows.first[0]!;
  const lastRow = window.height - 1;
  const between = acrossRows(raster, columns, firstRow, rows.first[lastRow]! + rows.count[lastRow]!);
  const stride = window.width * 3;
  const out = new Uint8Array(window.height * stride);
  const sums = new Int32Array(stride);
  for (let y = 0; y < window.height; y++) {
    sums.fill(1 << (PRECISION - 1));
    for (let k = 0; k < rows.count[y]!; k++) {
      const weight = rows.values[y * rows.most + k]!;
      const from = (rows.first[y]! + k - firstRow) * stride;
      for (let x = 0; x < stride; x++) sums[x]! += weight * between[from + x]!;
    }
    for (let x = 0; x < stride; x++) out[y * stride + x] = clamp(sums[x]! >> PRECISION);
  }
  return out;
}

/** Rows `first` to `end` of the input, as wide as the output. */
function acrossRows(raster: Raster, columns: Weights, first: number, end: number): Uint8Array {
  const width = columns.first.length;
  const out = new Uint8Array((end - first) * width * 3);
  const { data, stepX } = raster;
  let to = 0;
  for (let y = first; y < end; y++) {
    const row = raster.origin + y * raster.stepY;
    for (let x = 0; x < width; x++) {
      let r = 1 << (PRECISION - 1);
      let g = r;
      let b = r;
      let at = row + columns.first[x]! * stepX;
      const end = x * columns.most + columns.count[x]!;
      for (let k = x * columns.most; k < end; k++) {
        const weight = columns.values[k]!;
        r += weight * data[at]!;
        g += weight * data[at + 1]!;
        b += weight * data[at + 2]!;
        at += stepX;
      }
      out[to++] = clamp(r >> PRECISION);
      out[to++] = clamp(g >> PRECISION);
      out[to++] = clamp(b >> PRECISION);
    }
  }
  return out;
}

function weightsOf(input: number, output: number, start: number, length: number, filter: Filter): Weights {
  const scale = input / output;
  const widened = Math.max(scale, 1);
  const support = FILTERS[filter].support * widened;
  const most = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(length);
  const count = new Int32Array(length);
  const values = new Int32Array(length * most);
  const parts = new Float64Array(most);
  for (let i = 0; i < length; i++) {
    const center = (start + i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(input, Math.trunc(center + support + 0.5));
    let total = 0;
    for (let k = 0; k < end - from; k++) {
      parts[k] = FILTERS[filter].kernel((k + from - center + 0.5) * (1 / widened));
      total += parts[k]!;
    }
    first[i] = from;
    count[i] = end - from;
    for (let k = 0; k < end - from; k++) {
      const weight = parts[k]! * (total === 0 ? 1 : 1 / total);
      values[i * most + k] = Math.trunc(weight * 2 ** PRECISION + (weight < 0 ? -0.5 : 0.5));
    }
  }
  return { first, count, values, most };
}

function cubic(signed: number): number {
  const x = Math.abs(signed);
  if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * A;
  return 0;
}

function clamp(value: number): number {
  return value < 0 ? 0 : value > 255 ? 255 : value;
}
