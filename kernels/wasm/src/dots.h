#pragma once
#include "record.h"

// Exact integer dots of a q8 weight tile with a record of activations: lanes are rows, 4 columns a step.

#ifdef RELAXED
// Relaxed dots are exact wherever their second operand is in 0..127. With s = −1 where x < 0, else 0:
//   w·x = (w xor s)·|x| + (|x| where x < 0), since ~w = −w − 1; the second term is the record's start.
//
// FUSED is the instruction that sums four products into i32. A host without one (x64 before AVX-VNNI) makes it of five, for which PAIRED
// needs three: two products in i16, where they fit (2 · 128 · 127 < 2^15), then pairs of them in i32.
enum { FUSED, PAIRED };
#define SUM_UNIT 1.f
INLINE v128_t dot_constant(void) { return held(wasm_i16x8_splat(1)); }
INLINE v128_t dot(int kind, v128_t ones, v128_t w, v128_t magnitude, v128_t sign, v128_t sum) {
  w = wasm_v128_xor(w, sign);
  if (kind == FUSED) return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(w, magnitude, sum);
  return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_i16x8_relaxed_dot_i8x16_i7x16(w, magnitude), ones));
}
#else
// A row's 4 bytes are two i16 lanes: shifting them left by 8 leaves 256·(w0, w2), masking leaves 256·(w1, w3). The sums are 256 times
// what they mean, which floats carry exactly: 256 · 32 · 128 · 127 is below 2^28, a multiple of 2^8.
enum { WIDENED };
#define SUM_UNIT (1.f / 256.f)
INLINE v128_t dot_constant(void) { return held(wasm_i16x8_splat((int16_t)0xff00)); }
INLINE v128_t dot(int kind, v128_t mask, v128_t w, v128_t even, v128_t odd, v128_t sum) {
  (void)kind;
  sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_i16x8_shl(w, 8), even));
  return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_v128_and(w, mask), odd));
}
#endif
