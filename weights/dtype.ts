/** Floating-point formats of checkpoints, read as f32. */

export type FloatType = "F32" | "F64" | "F16" | "BF16";

/** Bytes a value takes, also of the types that are not read, by safetensors' names. */
export const TYPE_BYTES: ReadonlyMap<string, number> = new Map([
  ["F64", 8],
  ["F32", 4],
  ["F16", 2],
  ["BF16", 2],
  ["I64", 8],
  ["U64", 8],
  ["I32", 4],
  ["U32", 4],
  ["I16", 2],
  ["U16", 2],
  ["I8", 1],
  ["U8", 1],
  ["BOOL", 1],
  ["F8_E4M3", 1],
  ["F8_E5M2", 1],
  ["C64", 8],
]);

export function isFloatType(type: string): type is FloatType {
  return type === "F32" || type === "F64" || type === "F16" || type === "BF16";
}

/**
 * Little-endian values as f32, in memory of their own or, for F32, on that of `bytes`. F64 is rounded; what f32 cannot hold becomes
 * infinite, which encoding then refuses.
 */
export function decodeFloats(type: FloatType, bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
  const { buffer, byteOffset, byteLength } = aligned;
  switch (type) {
    case "F32":
      return new Float32Array(buffer, byteOffset, byteLength / 4);
    case "F64":
      return Float32Array.from(new Float64Array(buffer, byteOffset, byteLength / 8));
    case "F16":
      return Float32Array.from(new Uint16Array(buffer, byteOffset, byteLength / 2), f16ToF32);
    case "BF16": {
      const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
      const out = new Uint32Array(halves.length);
      for (let i = 0; i < halves.length; i++) out[i] = (halves[i] as number) << 16;
      return new Float32Array(out.buffer);
    }
  }
}

/** IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
export function f16ToF32(half: number): number {
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
