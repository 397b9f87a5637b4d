import { extreme } from "./extreme.ts";
import { getF16, setF16 } from "./f16.ts";

/** Q8_0: 32 values in 34 bytes: a scale d in f16, then int8 q. w = d·q. */
export const Q8_0_VALUES = 32;
export const Q8_0_BYTES = 34;

export function encodeQ8(from: Float32Array, to: Uint8Array): void {
  for (let start = 0, at = 0; start < from.length; start += Q8_0_VALUES, at += Q8_0_BYTES) {
    const d = Math.abs(extreme(from, start, Q8_0_VALUES)) / 127;
    setF16(to, at, d);
    for (let j = 0; j < Q8_0_VALUES; j++) to[at + 2 + j] = d === 0 ? 0 : Math.round(from[start + j]! / d);
  }
}

export function decodeQ8(from: Uint8Array, to: Float32Array): void {
  for (let start = 0, at = 0; start < to.length; start += Q8_0_VALUES, at += Q8_0_BYTES) {
    const d = getF16(from, at);
    for (let j = 0; j < Q8_0_VALUES; j++) to[start + j] = d * ((from[at + 2 + j]! << 24) >> 24);
  }
}
