import { f16ToF32 } from "../../../weights/dtype.ts";

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

/** Nearest binary16, ties to even; what is too large becomes infinite. */
export function f32ToF16(value: number): number {
  f32[0] = value;
  const bits = u32[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00;
  if (size >= 0x477ff000) return sign | 0x7c00;
  // Below 2⁻¹⁴ a half counts steps of 2⁻²⁴; adding 1.5·2⁵² rounds a double to a whole number, ties to even.
  if (size < 0x38800000) return sign | (Math.abs(f32[0]!) * 2 ** 24 + 1.5 * 2 ** 52 - 1.5 * 2 ** 52);
  return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
}

export function setF16(bytes: Uint8Array, at: number, value: number): void {
  const half = f32ToF16(value);
  bytes[at] = half & 0xff;
  bytes[at + 1] = half >>> 8;
}

export function getF16(bytes: Uint8Array, at: number): number {
  return f16ToF32(bytes[at]! | (bytes[at + 1]! << 8));
}
