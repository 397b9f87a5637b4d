/**
 * How tensors lie in bytes. f32 tensors are row-major little-endian; matrices may be q8 or q4, in the tile layout, version 1:
 *
 * A matrix (rows, cols) is cut into tiles of 8 rows × 32 columns, rows of tiles after one another, each from left to right; what is
 * missing at the edges is zero. A tile begins with 8 bf16 scales, one a row.
 * - q8, 272 bytes: then 8 chunks of 4 columns, each 8 rows × 4 int8.
 * - q4, 144 bytes: then 4 pairs of chunks, each 8 rows × 4 bytes; byte c of pair p holds column 8p + c in its low nibble and column
 *   8p + 4 + c in its high one, so that masking and shifting give two q8 chunks. A nibble is the integer + 8. Scales of q4 may be
 *   negative: −8, the integer that has no opposite, then stands for a large positive weight.
 *
 * Lanes are rows, so a matrix-vector product needs no horizontal sum, and the same bytes serve matrix-matrix products.
 * Both sizes are multiples of 16: every tile is aligned for v128 loads and readable as u32 in WGSL.
 */

export const LAYOUT_VERSION = 1;
export const TILE_ROWS = 8;
/** columns that share a scale. */
export const GROUP = 32;
export const Q8_TILE_BYTES = TILE_ROWS * 2 + TILE_ROWS * GROUP;
export const Q4_TILE_BYTES = TILE_ROWS * 2 + (TILE_ROWS * GROUP) / 2;
/** the nibble of a q4 zero. */
export const Q4_ZERO = 8;

/** f32 is row-major little-endian, q8 and q4 the tile layout. */
export type Encoding = "f32" | "q8" | "q4";

export const ENCODINGS: readonly Encoding[] = ["f32", "q8", "q4"];

/**
 * Size of a tensor's encoded bytes.
 * @throws RangeError for q8 or q4 of anything but (rows, cols)
 */
export function encodedBytes(shape: readonly number[], encoding: Encoding): number {
  if (encoding === "f32") return 4 * shape.reduce((product, size) => product * size, 1);
  const [rows, cols] = shape;
  if (shape.length !== 2 || rows === undefined || cols === undefined) {
    throw new RangeError(
      `${encoding} is for matrices (rows, cols), not for shape (${shape.join(", ")}): encode it as f32`,
    );
  }
  return encoding === "q8" ? q8Bytes(rows, cols) : q4Bytes(rows, cols);
}

/** Encoded bytes of a q8 matrix. */
export function q8Bytes(rows: number, cols: number): number {
  return Math.ceil(rows / TILE_ROWS) * Math.ceil(cols / GROUP) * Q8_TILE_BYTES;
}

/** Encoded bytes of a q4 matrix. */
export function q4Bytes(rows: number, cols: number): number {
  return Math.ceil(rows / TILE_ROWS) * Math.ceil(cols / GROUP) * Q4_TILE_BYTES;
}

/** Which tile of a matrix holds element (row, col). */
function tileIndex(row: number, col: number, cols: number): number {
  return Math.floor(row / TILE_ROWS) * Math.ceil(cols / GROUP) + Math.floor(col / GROUP);
}

/** First byte of the q8 tile that holds element (row, col). */
export function q8TileOffset(row: number, col: number, cols: number): number {
  return tileIndex(row, col, cols) * Q8_TILE_BYTES;
}

/** First byte of the q4 tile that holds element (row, col). */
export function q4TileOffset(row: number, col: number, cols: number): number {
  return tileIndex(row, col, cols) * Q4_TILE_BYTES;
}

/** Place of element (row, col) inside its q8 tile, whose scales come first. */
export function q8ElementOffset(row: number, col: number): number {
  const c = col % GROUP;
  return 2 * TILE_ROWS + (c >> 2) * (4 * TILE_ROWS) + (row % TILE_ROWS) * 4 + (c & 3);
}

/** Place of the byte inside its q4 tile that holds element (row, col): in the high nibble when col & 4, else in the low one. */
export function q4ElementOffset(row: number, col: number): number {
  const c = col % GROUP;
  return 2 * TILE_ROWS + (c >> 3) * (4 * TILE_ROWS) + (row % TILE_ROWS) * 4 + (c & 3);
}

/** Smallest normal bf16, 2⁻¹²⁶: a scale below it would be a denormal, or make denormals. */
export const NORMAL_BF16 = 0x0080;

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

/** Integers and scales of a quantized matrix, before they are laid out. */
export interface QuantizedMatrix {
  readonly rows: number;
  readonly cols: number;
  /** (rows, cols) integers. */
  readonly values: Int8Array;
  /** (rows, ceil(cols/32)) bf16, finite. */
  readonly scales: Uint16Array;
}

/** Integers in −127..127, scales ≥ 0. */
export type Q8Matrix = QuantizedMatrix;

/** Integers in −8..7, scales of either sign. */
export type Q4Matrix = QuantizedMatrix;

/** Lays a q8 matrix out in tiles. */
export function packQ8(m: Q8Matrix): Uint8Array {
  const { rows, cols, values, scales } = m;
  const groups = Math.ceil(cols / GROUP);
  const out = new Uint8Array(q8Bytes(rows, cols));
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < groups; g++) {
      const tile = q8TileOffset(row, g * GROUP, cols);
      putScale(out, tile, row, scales[row * groups + g] as number);
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

/** Lays a q4 matrix out in tiles. */
export function packQ4(m: Q4Matrix): Uint8Array {
  const { rows, cols, values, scales } = m;
  const groups = Math.ceil(cols / GROUP);
  const out = new Uint8Array(q4Bytes(rows, cols)).fill(Q4_ZERO * 0x11);
  for (let tile = 0; tile < out.length; tile += Q4_TILE_BYTES) out.fill(0, tile, tile + 2 * TILE_ROWS);
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < groups; g++) {
      const tile = q4TileOffset(row, g * GROUP, cols);
      putScale(out, tile, row, scales[row * groups + g] as number);
      const lane = tile + q4ElementOffset(row, 0);
      const first = row * cols + g * GROUP;
      const width = Math.min(GROUP, cols - g * GROUP);
      for (let c = 0; c < width; c++) {
        const at = lane + (c >> 3) * (4 * TILE_ROWS) + (c & 3);
        const nibble = (values[first + c] as number) + Q4_ZERO;
        out[at] = (c & 4) === 0 ? ((out[at] as number) & 0xf0) | nibble : ((out[at] as number) & 0x0f) | (nibble << 4);
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
      const scale = getScale(bytes, tile, row);
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

/** The f32 matrix (rows, cols) that q4 bytes mean: scale · (nibble − 8), rounded to f32. */
export function unpackQ4(bytes: Uint8Array, rows: number, cols: number): Float32Array {
  const groups = Math.ceil(cols / GROUP);
  const out = new Float32Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < groups; g++) {
      const tile = q4TileOffset(row, g * GROUP, cols);
      const scale = getScale(bytes, tile, row);
      const lane = tile + q4ElementOffset(row, 0);
      const first = row * cols + g * GROUP;
      const width = Math.min(GROUP, cols - g * GROUP);
      for (let c = 0; c < width; c++) {
        const byte = bytes[lane + (c >> 3) * (4 * TILE_ROWS) + (c & 3)] as number;
        out[first + c] = scale * (((c & 4) === 0 ? byte & 15 : byte >> 4) - Q4_ZERO);
      }
    }
  }
  return out;
}

/** The f32 matrix that a quantized tensor's bytes mean. */
export function unpack(
  bytes: Uint8Array,
  rows: number,
  cols: number,
  encoding: Exclude<Encoding, "f32">,
): Float32Array {
  return encoding === "q8" ? unpackQ8(bytes, rows, cols) : unpackQ4(bytes, rows, cols);
}

function putScale(out: Uint8Array, tile: number, row: number, scale: number): void {
  const at = tile + 2 * (row % TILE_ROWS);
  out[at] = scale & 0xff;
  out[at + 1] = scale >> 8;
}

function getScale(bytes: Uint8Array, tile: number, row: number): number {
  const at = tile + 2 * (row % TILE_ROWS);
  return bf16ToF32((bytes[at] as number) | ((bytes[at + 1] as number) << 8));
}
