import { getF16, setF16 } from "./f16.ts";
import { decodeQ4, encodeQ4, Q4_0_BYTES, Q4_0_VALUES } from "./q4-0.ts";
import { decodeQ6, encodeQ6, Q6_K_BYTES, Q6_K_VALUES } from "./q6-k.ts";
import { decodeQ8, encodeQ8, Q8_0_BYTES, Q8_0_VALUES } from "./q8-0.ts";

/** The tensor types of ggml that the benchmark's files hold. */
export type GgmlType = "F32" | "F16" | "Q4_0" | "Q8_0" | "Q6_K";

interface Format {
  /** the type's number in a file. */
  readonly id: number;
  /** values of a block, and the bytes they take. */
  readonly values: number;
  readonly bytes: number;
  encode(from: Float32Array, to: Uint8Array): void;
  decode(from: Uint8Array, to: Float32Array): void;
}

export const GGML_TYPES: Readonly<Record<GgmlType, Format>> = {
  F32: {
    id: 0,
    values: 1,
    bytes: 4,
    encode: (from, to) => to.set(new Uint8Array(from.buffer, from.byteOffset, from.byteLength)),
    decode: (from, to) => new Uint8Array(to.buffer).set(from),
  },
  F16: {
    id: 1,
    values: 1,
    bytes: 2,
    encode: (from, to) => {
      for (let i = 0; i < from.length; i++) setF16(to, 2 * i, from[i]!);
    },
    decode: (from, to) => {
      for (let i = 0; i < to.length; i++) to[i] = getF16(from, 2 * i);
    },
  },
  Q4_0: { id: 2, values: Q4_0_VALUES, bytes: Q4_0_BYTES, encode: encodeQ4, decode: decodeQ4 },
  Q8_0: { id: 8, values: Q8_0_VALUES, bytes: Q8_0_BYTES, encode: encodeQ8, decode: decodeQ8 },
  Q6_K: { id: 14, values: Q6_K_VALUES, bytes: Q6_K_BYTES, encode: encodeQ6, decode: decodeQ6 },
};

/** @throws RangeError when the values do not fill whole blocks */
export function ggmlBytes(type: GgmlType, count: number): number {
  const { values, bytes } = GGML_TYPES[type];
  if (count % values !== 0) throw new RangeError(`${type} takes a multiple of ${values} values, got ${count}`);
  return (count / values) * bytes;
}

export function encodeGgml(type: GgmlType, values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(ggmlBytes(type, values.length));
  GGML_TYPES[type].encode(values, bytes);
  return bytes;
}

/** The f32 values that the bytes mean. */
export function decodeGgml(type: GgmlType, bytes: Uint8Array): Float32Array {
  const format = GGML_TYPES[type];
  const values = new Float32Array((bytes.length / format.bytes) * format.values);
  format.decode(bytes, values);
  return values;
}
