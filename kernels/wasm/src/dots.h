#pragma once
#include "record.h"

// Exact integer dots of a q8 weight tile with a record of activations: lanes are rows, 4 columns a step.

#ifdef RELAXED
// relaxed_dot is exact wherever its second operand is in 0..127. With s = −1 where x < 0, else 0:
//   w·x = (w xor s)·|x| + (|x| where x < 0), since ~w = −w − 1; the second term is the record's start.
#define SUM_UNIT 1.f
INLINE v128_t dot(v128_t w, v128_t magnitude, v128_t sign, v128_t sum) {
  return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(wasm_v128_xor(w, sign), magnitude, sum);
}
#else
// A row's 4 bytes are two i16 lanes: shifting them left by 8 leaves 256·(w0, w2), masking leaves 256·(w1, w3). The sums are 256 times
// what they mean, which floats carry exactly: 256 · 32 · 128 · 127 is below 2^28, a multiple of 2^8.
#define SUM_UNIT (1.f / 256.f)
INLINE v128_t dot(v128_t w, v128_t even, v128_t odd, v128_t sum) {
  sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_i16x8_shl(w, 8), even));
  return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_v128_and(w, wasm_i16x8_splat((int16_t)0xff00)), odd));
}
#endif
