#pragma once
#include "record.h"

// From f32 activations to whole numbers in −127..127, a group of 32 columns at a time.

// Largest |x| of every fourth column of a group, as f32 bits: their order is that of the values, and a NaN is above everything, so it
// survives as the scale.
INLINE v128_t largest_of_fourths(const float *x) {
  v128_t m = wasm_f32x4_abs(load(x));
  UNROLL for (int i = 4; i < GROUP; i += 4) m = wasm_i32x4_max(m, wasm_f32x4_abs(load(x + i)));
  return m;
}

INLINE int largest_bits(const float *x) {
  v128_t m = largest_of_fourths(x);
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

static const float TINY = 1e-20f; // below it a group counts as zero: no denormal products

// How a group is rounded, and its scale: x ≈ scale · q.
INLINE Rounding rounding_of(const float *x, v128_t shift, float *scale) {
  union { int bits; float value; } largest = {largest_bits(x)}, least = {.value = TINY};
  const int nonzero = largest.bits >= least.bits;
  *scale = nonzero ? largest.value * (1.f / 127.f) : 0.f;
  return (Rounding){splat(nonzero ? 127.f / largest.value : 0.f), shift};
}

// rounding_of for one group of four tokens: a lane a token.
INLINE void roundings_of(const float *x, int stride, v128_t shift, float *scales, Rounding r[4]) {
  v128_t m[4];
  UNROLL for (int t = 0; t < 4; t++) m[t] = largest_of_fourths(x + t * stride);
  transpose(m);
  const v128_t largest = wasm_i32x4_max(wasm_i32x4_max(m[0], m[2]), wasm_i32x4_max(m[1], m[3]));
  const v128_t nonzero = wasm_i32x4_ge(largest, splat(TINY));
  store(scales, wasm_v128_and(nonzero, mul(largest, splat(1.f / 127.f))));
  const v128_t inverse = wasm_v128_and(nonzero, wasm_f32x4_div(splat(127.f), largest));
  r[0] = (Rounding){wasm_i32x4_shuffle(inverse, inverse, 0, 0, 0, 0), shift};
  r[1] = (Rounding){wasm_i32x4_shuffle(inverse, inverse, 1, 1, 1, 1), shift};
  r[2] = (Rounding){wasm_i32x4_shuffle(inverse, inverse, 2, 2, 2, 2), shift};
  r[3] = (Rounding){wasm_i32x4_shuffle(inverse, inverse, 3, 3, 3, 3), shift};
}
