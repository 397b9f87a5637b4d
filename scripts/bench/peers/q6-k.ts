import { extreme } from "./extreme.ts";
import { getF16, setF16 } from "./f16.ts";

/**
 * Q6_K: 256 values in 210 bytes, w = d · scale · (q − 32) with q of six bits and an int8 scale for every 16 values.
 * 128 bytes hold the low four bits of q, 64 bytes the high two, then come 16 scales and d, an f16. Of each half of 128 values, those at
 * l, l + 32, l + 64 and l + 96 lie together: the first and third share the low-bits byte l, the second and fourth the byte l + 32, and
 * all four the high-bits byte l.
 */
export const Q6_K_VALUES = 256;
export const Q6_K_BYTES = 210;
const HIGH = 128;
const SCALES = 192;
const D = 208;

/** Scales from the largest value of each 16, without the search that llama.cpp's quantizer makes: the speed is the same. */
export function encodeQ6(from: Float32Array, to: Uint8Array): void {
  const scales = new Float32Array(16);
  for (let start = 0, at = 0; start < from.length; start += Q6_K_VALUES, at += Q6_K_BYTES) {
    for (let i = 0; i < 16; i++) scales[i] = extreme(from, start + 16 * i, 16) / -32;
    const d = Math.abs(extreme(scales, 0, 16)) / 127;
    setF16(to, at + D, d);
    for (let i = 0; i < 16; i++) to[at + SCALES + i] = d === 0 ? 0 : Math.round(scales[i]! / d);
    const q = (i: number): number => {
      const scale = d * int8(to[at + SCALES + (i >> 4)]!);
      return scale === 0 ? 32 : Math.max(0, Math.min(63, Math.round(from[start + i]! / scale) + 32));
    };
    for (let half = 0; half < 2; half++) {
      for (let l = 0; l < 32; l++) {
        const i = 128 * half + l;
        const [a, b, c, e] = [q(i), q(i + 32), q(i + 64), q(i + 96)];
        to[at + 64 * half + l] = (a & 15) | ((c & 15) << 4);
        to[at + 64 * half + l + 32] = (b & 15) | ((e & 15) << 4);
        to[at + HIGH + 32 * half + l] = (a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((e >> 4) << 6);
      }
    }
  }
}

export function decodeQ6(from: Uint8Array, to: Float32Array): void {
  for (let start = 0, at = 0; start < to.length; start += Q6_K_VALUES, at += Q6_K_BYTES) {
    const d = getF16(from, at + D);
    for (let i = 0; i < Q6_K_VALUES; i++) {
      const [half, quarter, l] = [i >> 7, (i >> 5) & 3, i & 31];
      const low = (from[at + 64 * half + l + 32 * (quarter & 1)]! >> (4 * (quarter >> 1))) & 15;
      const high = (from[at + HIGH + 32 * half + l]! >> (2 * quarter)) & 3;
      to[start + i] = d * int8(from[at + SCALES + (i >> 4)]!) * ((low | (high << 4)) - 32);
    }
  }
}

function int8(byte: number): number {
  return (byte << 24) >> 24;
}
