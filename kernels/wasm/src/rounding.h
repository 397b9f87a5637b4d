#pragma once
#include "record.h"

// From f32 activations to whole numbers in −127..127, a group of 32 columns at a time.

// Largest |x| of a group, as f32 bits: their order is that of the values, and a NaN is above everything, so it survives as the scale.
INLINE int largest_bits(const float *x) {
  v128_t m = wasm_i32x4_splat(0);
  UNROLL for (int i = 0; i < GROUP; i += 4) m = wasm_i32x4_max(m, wasm_f32x4_abs(load(x + i)));
  m = wasm_i32x4_max(m, wasm_i32x4_shuffle(m, m, 2, 3, 0, 1));
  m = wasm_i32x4_max(m, wasm_i32x4_shuffle(m, m, 1, 0, 3, 2));
  return wasm_i32x4_extract_lane(m, 0);
}

// What turns x into whole numbers: x · inverse + 1.5·2^23 is rounded, and its bits are the number's above those of 1.5·2^23.
typedef struct {
  v128_t inverse, shift;
} Rounding;

INLINE v128_t round4(const float *x, const Rounding *r) {
  return wasm_i32x4_sub(add(mul(load(x), r->inverse), r->shift), r->shift);
}

INLINE v128_t round8(const float *x, const Rounding *r) {
  return wasm_i16x8_narrow_i32x4(round4(x, r), round4(x + 4, r));
}

// How a group is rounded, and its scale: x ≈ scale · q.
INLINE Rounding rounding_of(const float *x, v128_t shift, float *scale) {
  const float tiny = 1e-20f; // below it a group counts as zero: no denormal products
  union { int bits; float value; } largest = {largest_bits(x)}, least = {.value = tiny};
  const int nonzero = largest.bits >= least.bits;
  *scale = nonzero ? largest.value * (1.f / 127.f) : 0.f;
  return (Rounding){splat(nonzero ? 127.f / largest.value : 0.f), shift};
}
