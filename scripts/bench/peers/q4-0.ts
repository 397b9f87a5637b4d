import { extreme } from "./extreme.ts";
import { getF16, setF16 } from "./f16.ts";

/** Q4_0: 32 values in 18 bytes: a scale d in f16, then 16 bytes with q[j] in the low and q[j + 16] in the high half. w = d·(q − 8). */
export const Q4_0_VALUES = 32;
export const Q4_0_BYTES = 18;

export function encodeQ4(from: Float32Array, to: Uint8Array): void {
  for (let start = 0, at = 0; start < from.length; start += Q4_0_VALUES, at += Q4_0_BYTES) {
    // The largest becomes −8, the one integer without a counterpart on the other side.
    const d = extreme(from, start, Q4_0_VALUES) / -8;
    setF16(to, at, d);
    const q = (j: number): number => (d === 0 ? 8 : Math.min(15, Math.round(from[start + j]! / d) + 8));
    for (let j = 0; j < 16; j++) to[at + 2 + j] = q(j) | (q(j + 16) << 4);
  }
}

export function decodeQ4(from: Uint8Array, to: Float32Array): void {
  for (let start = 0, at = 0; start < to.length; start += Q4_0_VALUES, at += Q4_0_BYTES) {
    const d = getF16(from, at);
    for (let j = 0; j < 16; j++) {
      to[start + j] = d * ((from[at + 2 + j]! & 15) - 8);
      to[start + j + 16] = d * ((from[at + 2 + j]! >> 4) - 8);
    }
  }
}
