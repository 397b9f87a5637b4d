/**
 * How tensors lie in bytes. f32 tensors are row-major little-endian; matrices may be q8, in the tile layout, version 1:
 *
 * A matrix (rows, cols) is cut into tiles of 8 rows × 32 columns, rows of tiles after one another, each from left to right; what is
 * missing at the edges is zero. A q8 tile is 272 bytes: 8 bf16 scales, one a row, then 8 chunks of 4 columns, each 8 rows × 4 int8.
 * Lanes are rows, so a matrix-vector product needs no horizontal sum, and the same bytes serve matrix-matrix products.
 * 272 is a multiple of 16: every tile is aligned for v128 loads and readable as u32 in WGSL.
 */

export const LAYOUT_VERSION = 1;
export const TILE_ROWS = 8;
/** columns that share a scale. */
export const GROUP = 32;
export const Q8_TILE_BYTES = TILE_ROWS * 2 + TILE_ROWS * GROUP;

/** f32 is row-major little-endian, q8 the tile layout. */
export type Encoding = "f32" | "q8";

/**
 * Size of a tensor's encoded bytes.
 * @throws RangeError for q8 of anything but (rows, cols)
 */
export function encodedBytes(shape: readonly number[], encoding: Encoding): number {
  if (encoding === "f32") return 4 * shape.reduce((product, size) => product * size, 1);
  const [rows, cols] = shape;
  if (shape.length !== 2 || rows === undefined || cols === undefined) {
    throw new RangeError(`q8 is for matrices (rows, cols), not for shape (${shape.join(", ")}): encode it as f32`);
  }
  return q8Bytes(rows, cols);
}

/** Encoded bytes of a q8 matrix. */
export function q8Bytes(rows: number, cols: number): number {
  return Math.ceil(rows / TILE_ROWS) * Math.ceil(cols / GROUP) * Q8_TILE_BYTES;
}

/** First byte of the tile that holds element (row, col). */
export function q8TileOffset(row: number, col: number, cols: number): number {
  return (Math.floor(row / TILE_ROWS) * Math.ceil(cols / GROUP) + Math.floor(col / GROUP)) * Q8_TILE_BYTES;
}

/** Place of element (row, col) inside its tile, behind the scales. */
export function q8ElementOffset(row: number, col: number): number {
  const c = col % GROUP;
  return 2 * TILE_ROWS + (c >> 2) * (4 * TILE_ROWS) + (row % TILE_ROWS) * 4 + (c & 3);
}

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

/** f32 value of the upper half of a float. */
export function bf16ToF32(half: number): number {
  u32[0] = half << 16;
  return f32[0] as number;
}

/** Nearest bf16, ties to even. NaN stays NaN. */
export function f32ToBf16(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  f32[0] = value;
  const u = u32[0] as number;
  return (u + 0x7fff + ((u >>> 16) & 1)) >>> 16;
}

/** Smallest bf16 that is not below a finite f32 value ≥ 0. */
export function f32ToBf16Up(value: number): number {
  f32[0] = value;
  return ((u32[0] as number) + 0xffff) >>> 16;
}

/** Integers and scales of a q8 matrix, before they are laid out. */
export interface Q8Matrix {
  readonly rows: number;
  readonly cols: number;
  /** (rows, cols) int8 in −127..127. */
  readonly values: Int8Array;
  /** (rows, ceil(cols/32)) bf16, finite and ≥ 0. */
  readonly scales: Uint16Array;
}

/** Lays a q8 matrix out in tiles. */
export function packQ8(m: Q8Matrix): Uint8Array {
  const { rows, cols, values, scales } = m;
  const groups = Math.ceil(cols / GROUP);
  const out = new Uint8Array(q8Bytes(rows, cols));
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < groups; g++) {
      const tile = q8TileOffset(row, g * GROUP, cols);
      const scale = scales[row * groups + g] as number;
      out[tile + 2 * (row % TILE_ROWS)] = scale & 0xff;
      out[tile + 2 * (row % TILE_ROWS) + 1] = scale >> 8;
      const lane = tile + q8ElementOffset(row, 0);
      const first = row * cols + g * GROUP;
      const width = Math.min(GROUP, cols - g * GROUP);
      for (let c = 0; c < width; c++) {
        out[lane + (c >> 2) * (4 * TILE_ROWS) + (c & 3)] = values[first + c] as number;
      }
    }
  }
  return out;
}

/** The f32 matrix (rows, cols) that q8 bytes mean: scale · integer, rounded to f32. */
export function unpackQ8(bytes: Uint8Array, rows: number, cols: number): Float32Array {
  const ints = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const groups = Math.ceil(cols / GROUP);
  const out = new Float32Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < groups; g++) {
      const tile = q8TileOffset(row, g * GROUP, cols);
      const at = tile + 2 * (row % TILE_ROWS);
      const scale = bf16ToF32((bytes[at] as number) | ((bytes[at + 1] as number) << 8));
      const lane = tile + q8ElementOffset(row, 0);
      const first = row * cols + g * GROUP;
      const width = Math.min(GROUP, cols - g * GROUP);
      for (let c = 0; c < width; c++) {
        out[first + c] = scale * (ints[lane + (c >> 2) * (4 * TILE_ROWS) + (c & 3)] as number);
      }
    }
  }
  return out;
}
