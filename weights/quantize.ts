/**
 * Tensors to encoded bytes and back. A quantized matrix means its decoded values: the reference backend computes with exactly those.
 */
import { PackageError } from "./errors.ts";
import {
  bf16ToF32,
  type Encoding,
  encodedBytes,
  f32ToBf16Up,
  GROUP,
  NORMAL_BF16,
  packQ4,
  packQ8,
  type Q8Matrix,
  unpack,
} from "./layout.ts";
import { type Q4Options, quantizeQ4 } from "./quantize-q4.ts";

/** Adding and taking away 1.5·2⁵² rounds a double to the nearest integer, ties to even, so that signs are treated alike. */
const ROUND = 1.5 * 2 ** 52;

/**
 * Per row and group of 32 columns: scale = max|w| / 127 rounded up to bf16, q = round(w / scale). The scale is rounded up before it
 * divides, so |q| never passes 127, and |w − scale·q| ≤ scale / 2. A scale that would be denormal is zero, and so is its group.
 * @param data (rows, cols) row-major, finite
 */
export function quantizeQ8(rows: number, cols: number, data: Float32Array): Q8Matrix {
  const groups = Math.ceil(cols / GROUP);
  const values = new Int8Array(rows * cols);
  const scales = new Uint16Array(rows * groups);
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < groups; g++) {
      const first = row * cols + g * GROUP;
      const end = row * cols + Math.min(cols, (g + 1) * GROUP);
      let max = 0;
      for (let i = first; i < end; i++) {
        const size = Math.abs(data[i] as number);
        if (size > max) max = size;
      }
      const half = f32ToBf16Up(max / 127);
      if (half < NORMAL_BF16) continue;
      scales[row * groups + g] = half;
      const scale = bf16ToF32(half);
      for (let i = first; i < end; i++) values[i] = (data[i] as number) / scale + ROUND - ROUND;
    }
  }
  return { rows, cols, values, scales };
}

/**
 * A tensor's encoded bytes; for f32 on the data's own memory, so copy them before the data changes.
 * @param data as many values as the shape says, row-major
 * @throws PackageError naming the tensor when a value is not finite, when data and shape differ, or for q8 or q4 of anything but (rows, cols),
 * when the importance is not one finite number ≥ 0 a column
 */
export function encodeTensor(
  name: string,
  shape: readonly number[],
  data: Float32Array,
  encoding: Encoding,
  options: Q4Options = {},
): Uint8Array {
  const count = shape.reduce((product, size) => product * size, 1);
  if (data.length !== count) {
    throw new PackageError(`tensor ${name}: shape (${shape.join(", ")}) needs ${count} values, got ${data.length}`);
  }
  for (let i = 0; i < count; i++) {
    if (!(Math.abs(data[i] as number) < Infinity)) {
      throw new PackageError(
        `tensor ${name} (${shape.join(", ")}): value ${i} is ${data[i]}: every weight must be finite; check the checkpoint`,
      );
    }
  }
  if (encoding === "f32") return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const [rows, cols] = shape;
  if (shape.length !== 2 || rows === undefined || cols === undefined) {
    throw new PackageError(
      `tensor ${name}: ${encoding} is for matrices (rows, cols), not for shape (${shape.join(", ")}): encode it as f32`,
    );
  }
  if (encoding === "q8") return packQ8(quantizeQ8(rows, cols, data));
  checkImportance(name, cols, options.importance);
  return packQ4(quantizeQ4(rows, cols, data, options));
}

function checkImportance(name: string, cols: number, importance: ArrayLike<number> | undefined): void {
  if (importance === undefined) return;
  if (importance.length !== cols) {
    throw new PackageError(`tensor ${name}: the importance of ${cols} columns is needed, got ${importance.length}`);
  }
  for (let i = 0; i < cols; i++) {
    const v = importance[i] as number;
    if (!(v >= 0 && v < Infinity)) {
      throw new PackageError(`tensor ${name}: the importance of column ${i} is ${v}: it must be finite and ≥ 0`);
    }
  }
}

/**
 * The f32 values that encoded bytes mean, row-major, in memory of their own.
 * @throws PackageError when the bytes are not as many as shape and encoding say
 */
export function decodeTensor(shape: readonly number[], encoding: Encoding, bytes: Uint8Array): Float32Array {
  const expected = encodedBytes(shape, encoding);
  if (bytes.byteLength !== expected) {
    throw new PackageError(
      `${encoding} of shape (${shape.join(", ")}) takes ${expected} bytes, got ${bytes.byteLength}`,
    );
  }
  if (encoding !== "f32") return unpack(bytes, shape[0] as number, shape[1] as number, encoding);
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/**
 * ‖source − decoded‖ / ‖source‖, both of the same length; 0 when the source is all zero and so is the other.
 * @param importance of each column of (rows, cols), as in Q4Options: then squares count so much
 */
export function relativeRms(source: Float32Array, decoded: Float32Array, importance: ArrayLike<number> = [1]): number {
  let error = 0;
  let size = 0;
  for (let i = 0; i < source.length; i++) {
    const w = source[i] as number;
    const d = w - (decoded[i] as number);
    const weight = importance[i % importance.length] as number;
    error += weight * d * d;
    size += weight * w * w;
  }
  return error === 0 ? 0 : Math.sqrt(error / size);
}
