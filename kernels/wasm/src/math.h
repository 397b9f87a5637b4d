#pragma once
#include "simd.h"

// Elementary functions on 4 lanes, made of additions and multiplications in a fixed order, so that every host gives the same bits.

#define LOG2_E 1.44269504f

// 2^t for t ≤ 60, relative error 1.9e-7. Below 2^-60 the result stays 2^-60: WebAssembly cannot flush denormals, which cost 4–20×.
// t = n + f, n whole, |f| ≤ ½: 2^f is a minimax polynomial that is exactly 1 at 0 (so that slow decays do not drift), n goes to the exponent.
INLINE v128_t exp2_bounded(v128_t t) {
  const v128_t shift = splat(12582912.f); // 1.5·2^23: adding it rounds to a whole number, kept in the low bits
  t = larger(t, splat(-60.f));
  v128_t n = add(t, shift);
  v128_t f = sub(t, sub(n, shift));
  v128_t p = splat(1.32647272e-3f);
  p = add(mul(p, f), splat(9.67151269e-3f));
  p = add(mul(p, f), splat(5.55073374e-2f));
  p = add(mul(p, f), splat(2.40222421e-1f));
  p = add(mul(p, f), splat(6.93146978e-1f));
  p = add(mul(p, f), splat(1.f));
  return wasm_i32x4_add(p, wasm_i32x4_shl(n, 23));
}

// silu(x) = x / (1 + e^-x)
INLINE v128_t silu(v128_t x) {
  v128_t e = exp2_bounded(smaller(mul(x, splat(-LOG2_E)), splat(60.f)));
  return wasm_f32x4_div(x, add(e, splat(1.f)));
}

// log(1 + e) for e in 0..1 as e times a minimax polynomial: relative error 1.7e-7 down to the smallest e.
INLINE v128_t log1p_unit(v128_t e) {
  v128_t p = splat(5.23269411e-3f);
  p = add(mul(p, e), splat(-2.95052372e-2f));
  p = add(mul(p, e), splat(7.82259478e-2f));
  p = add(mul(p, e), splat(-1.36632453e-1f));
  p = add(mul(p, e), splat(1.91060064e-1f));
  p = add(mul(p, e), splat(-2.48429821e-1f));
  p = add(mul(p, e), splat(3.33190968e-1f));
  p = add(mul(p, e), splat(-4.99994931e-1f));
  p = add(mul(p, e), splat(1.f));
  return mul(p, e);
}

// softplus(x) = log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)
INLINE v128_t softplus4(v128_t x) {
  v128_t e = exp2_bounded(mul(wasm_f32x4_abs(x), splat(-LOG2_E)));
  return add(larger(x, splat(0.f)), log1p_unit(e));
}
